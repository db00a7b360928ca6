package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
)

const (
	aheadBatches  = 4
	aheadElements = 256 // in a batch
	aheadFiles    = 32  // that are open in a batch
	wholeSize     = 64 << 10
)

// content is an element with what it takes to read it: a link's target, and of a file the file.
type content struct {
	element
	target string
	opened *os.File // of a tree that gives no descriptors
}

// whole says that a file is read with one call.
func (c *content) whole() bool { return c.file > 0 && c.info.Size() <= wholeSize }

// takeFile gives the open file, which is the caller's to close.
func (c *content) takeFile() *os.File {
	f := c.opened
	if f == nil {
		f = os.NewFile(uintptr(c.file), c.rel)
	}
	c.opened, c.file = nil, 0
	return f
}

func (c *content) close() {
	if c.opened != nil {
		_ = c.opened.Close()
	}
	if c.file > 0 {
		_ = unix.Close(c.file)
	}
	*c = content{}
}

// batch is what goes from the reading of folders to that of files at once.
type batch struct {
	all   []content
	files int
}

func (b *batch) close() {
	for i := range b.all {
		b.all[i].close()
	}
	b.all, b.files = b.all[:0], 0
}

// ahead goes through a folder ahead of who reads its files, on a goroutine of its own.
type ahead struct {
	s     *source
	ctx   context.Context
	now   *batch
	full  chan *batch
	empty chan *batch
}

// readAhead visits what is below the directory, in the order of walk, each file open. What visit is given is closed when it
// returns.
func (s *source) readAhead(ctx context.Context, visit func(c *content) error) error {
	ctx, cancel := context.WithCancel(ctx)
	a := &ahead{s: s, ctx: ctx, now: &batch{}, full: make(chan *batch, aheadBatches), empty: make(chan *batch, aheadBatches)}
	for range aheadBatches - 1 {
		a.empty <- &batch{}
	}
	var walked error
	var done sync.WaitGroup
	done.Go(func() {
		defer close(a.full)
		walked = s.walkBelow(ctx, "", a.look, a.add)
		if a.now != nil {
			a.full <- a.now // what came before an error is read before it is told
		}
	})
	defer func() {
		cancel()
		for b := range a.full {
			b.close()
		}
		done.Wait()
	}()
	for b := range a.full {
		for i := range b.all {
			err := visit(&b.all[i])
			if b.all[i].close(); err != nil {
				b.close()
				return err
			}
		}
		b.close()
		a.empty <- b
	}
	return walked
}

// pass gives the batch away and takes an empty one. There are never more than aheadBatches, for which both channels have room.
func (a *ahead) pass() error {
	a.full <- a.now
	select {
	case a.now = <-a.empty:
		return nil
	case <-a.ctx.Done():
		a.now = nil
		return a.ctx.Err()
	}
}

// look opens what the folder says to be a regular file, and looks at all else.
func (a *ahead) look(rel string, kind fs.FileMode) (element, error) {
	quick, ok := a.s.tree.(driver.QuickTree)
	if !ok || kind != 0 {
		return a.s.lookAt(rel, kind)
	}
	fd, info, err := quick.OpenFile(rel)
	if errors.Is(err, unix.ESTALE) || errors.Is(err, unix.ELOOP) {
		return a.s.lookAt(rel, kind) // it is another thing by now
	}
	return element{rel: rel, info: info, file: max(fd, 0)}, err
}

// add puts one element into the batch.
func (a *ahead) add(e element) (err error) {
	c := content{element: e}
	if e.info.Mode().IsRegular() {
		a.now.files++
	}
	switch {
	case e.info.Mode().Type() == fs.ModeSymlink:
		c.target, err = a.s.tree.Readlink(e.rel)
	case e.info.Mode().IsRegular() && e.file == 0:
		if c.opened, err = a.s.tree.Open(e.rel); errors.Is(err, unix.ESTALE) || errors.Is(err, unix.ELOOP) {
			err = e.changed()
		}
	}
	if err != nil {
		return err
	}
	if a.now.all = append(a.now.all, c); len(a.now.all) == aheadElements || a.now.files == aheadFiles {
		return a.pass()
	}
	return nil
}

// changed says that an element is not what was shown any more.
func (e element) changed() error {
	return fmt.Errorf("%w: %s changed while it was read", driver.ErrStale, e.rel)
}
