package layer

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/driver"
)

// counting is a tree that knows which paths there are, and counts the links that were tried.
type counting struct {
	sink
	there map[string]bool
	tried int
}

func (c *counting) File(path string, _ ext4.Attr, size int64, r io.Reader) error {
	c.there[path] = true
	_, err := io.CopyN(io.Discard, r, size)
	return err
}

func (c *counting) Link(path, target string) error {
	c.tried++
	if !c.there[target] {
		return fs.ErrNotExist
	}
	c.there[path] = true
	return nil
}

// TestChainOfLinksIsLinear has each hard link before its target, in the order that suits a loop least.
func TestChainOfLinksIsLinear(t *testing.T) {
	const n = 5000
	var items []item
	for i := range n {
		items = append(items, named(tar.TypeLink, fmt.Sprintf("l%d", i), fmt.Sprintf("l%d", i+1)))
	}
	tree := &counting{there: map[string]bool{}}
	if _, err := Apply(context.Background(), tree, memory{pack(t, append(items, reg(fmt.Sprintf("l%d", n), "x"))...)}, Limits{}, nil); err != nil {
		t.Fatal(err)
	}
	if len(tree.there) != n+1 || tree.tried > 4*n {
		t.Errorf("%d paths after %d tries", len(tree.there), tree.tried)
	}
	tree = &counting{there: map[string]bool{}}
	_, err := Apply(context.Background(), tree, memory{pack(t, items...)}, Limits{}, nil)
	if !errors.Is(err, driver.ErrInvalid) || tree.tried > 4*n {
		t.Errorf("without the end of the chain: %v after %d tries", err, tree.tried)
	}
}
