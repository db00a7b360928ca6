// Package guesttree is what a tree of files that a guest sends may cost the host, and where its links may lead. What
// a guest says is hostile: the bytes, entries, names and link targets of a tree are counted, and so are the headers of
// a stream that make no entry. No link is ever followed. What is read ends with its context.
//
// The packages that write a guest's files on the host import it.
package guesttree

import "fmt"

// Limits are bounds of one tree.
type Limits struct {
	Bytes   int64 // of content
	Entries int
	Text    int64 // bytes of names and link targets, which are kept in memory until the tree is complete
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

// Spend counts one entry: its content, and its name and link target. The error is an *ExceededError.
func (b *Budget) Spend(bytes int64, text int) error {
	if b == nil {
		return nil
	}
	switch {
	case b.left.Entries < 1:
		return &ExceededError{"entries", int64(b.limits.Entries)}
	case int64(text) > b.left.Text:
		return &ExceededError{"bytes of names and link targets", b.limits.Text}
	case bytes > b.left.Bytes:
		return &ExceededError{"bytes", b.limits.Bytes}
	}
	b.left.Entries--
	b.left.Text -= int64(text)
	b.left.Bytes -= bytes
	return nil
}
