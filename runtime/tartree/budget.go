package tartree

import (
	"archive/tar"
	"fmt"
)

// Limits are bounds of one tree.
type Limits struct {
	Bytes   int64 // of content
	Entries int
	Text    int64 // bytes of names, link targets and attributes, which are kept in memory until the tree is complete
}

// ExceededError says which bound a tree went over.
type ExceededError struct {
	What  string // "bytes", "entries"
	Limit int64
}

func (e *ExceededError) Error() string { return fmt.Sprintf("more than %d %s", e.Limit, e.What) }

// Budget is what is left of a tree's limits. Nil has no limits.
type Budget struct{ limits, left Limits }

// NewBudget gives a budget of which nothing is spent yet.
func NewBudget(limits Limits) *Budget { return &Budget{limits: limits, left: limits} }

// Text is what an entry's name, link target and extended attributes take, in bytes.
func Text(h *tar.Header) int {
	n := len(h.Name) + len(h.Linkname)
	for k, v := range h.PAXRecords {
		n += len(k) + len(v)
	}
	return n
}

// Spend counts one entry: its content, and its text. The error is an *ExceededError.
func (b *Budget) Spend(bytes int64, text int) error {
	if b == nil {
		return nil
	}
	switch {
	case b.left.Entries < 1:
		return &ExceededError{"entries", int64(b.limits.Entries)}
	case int64(text) > b.left.Text:
		return &ExceededError{"bytes of names, links and attributes", b.limits.Text}
	case bytes > b.left.Bytes:
		return &ExceededError{"bytes", b.limits.Bytes}
	}
	b.left.Entries--
	b.left.Text -= int64(text)
	b.left.Bytes -= bytes
	return nil
}
