package workspace

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"
	"time"

	"microagent/runtime/disk/transfer"
	"microagent/runtime/driver"
	"microagent/runtime/guesttree"
	"microagent/runtime/supervise/control"
)

// Online is the driver.Copier for workspaces that run: their guest's agent does it.
type Online struct{ Store *Store }

var _ driver.Copier = Online{}

// CopyOut copies a file or a tree of a running guest to the host.
func (o Online) CopyOut(ctx context.Context, spec driver.CopySpec) (driver.Copied, error) {
	const op = "copy from"
	var out driver.Copied
	c, err := o.begin(ctx, op, spec)
	if err != nil {
		return out, err
	}
	info, err := c.Stat(ctx, spec.Guest.Path, true)
	if errors.Is(err, driver.ErrNotFound) {
		return out, c.problem(driver.ErrNotFound, "", "there is no such file in the guest")
	}
	if err != nil {
		return out, c.failed(err)
	}
	if err := transfer.Copyable(op, c.object, info.Mode, spec); err != nil {
		return out, err
	}
	if spec.Host.Path == "" {
		out.Files, out.To = 1, "-"
		return out, c.receive(func(ctx context.Context, r io.Reader) error {
			var err error
			out.Bytes, err = transfer.Single(ctx, r, spec.Host.Writer, c.most())
			return err
		})
	}
	sink, err := transfer.NewSink(spec.Host.Path, transfer.NameOf(spec.Guest), info.Mode.IsDir(), &out)
	if err != nil {
		return out, err
	}
	defer sink.Close()
	if err := c.receive(func(ctx context.Context, r io.Reader) error { return transfer.Unpack(ctx, r, sink, c.most()) }); err != nil {
		return out, err
	}
	return out, sink.Finish()
}

// copying is one copy with a running guest.
type copying struct {
	control.Client
	ctx    context.Context
	store  *Store
	op     string
	object string
	spec   driver.CopySpec
}

func (o Online) begin(ctx context.Context, op string, spec driver.CopySpec) (*copying, error) {
	object := spec.Guest.Disk + ":" + spec.Guest.Path
	client, err := o.Store.runningIn(op, spec.Guest.Workspace, spec.IfRun)
	return &copying{client, ctx, o.Store, op, object, spec}, err
}

func (c *copying) problem(class error, next, format string, args ...any) error {
	return &driver.Error{Class: class, Op: c.op, Object: c.object, Err: fmt.Errorf(format, args...), Next: next}
}

func (c *copying) failed(err error) error {
	if e, ok := err.(*driver.Error); ok && e.Op == c.op {
		return e
	}
	return c.store.controlError(c.ctx, c.op, c.object, c.spec.Guest.Workspace, err)
}

// most is what all files of the guest can have, in bytes: its disks are full, and so is its memory.
func (c *copying) most() int64 {
	r, err := c.store.need(c.op, c.spec.Guest.Workspace)
	if err != nil {
		return 0
	}
	state := c.store.State
	sum := r.Spec.Memory
	images := []string{state.Workspace(r.Name).RootFS()}
	for _, m := range r.Spec.Mounts {
		switch m.Kind {
		case driver.MountVolume:
			images = append(images, state.VolumeImage(m.Name))
		case driver.MountBundle:
			images = append(images, state.CachedDisk(m.Source))
		default:
			images = append(images, m.Source)
		}
	}
	for _, image := range images {
		if info, err := os.Stat(image); err == nil {
			sum += info.Size()
		}
	}
	return sum
}

// maxPadding is what may follow a stream's end, which a tar pads.
const maxPadding = 1 << 20

// receive fetches what is copied and hands the stream on. Of the reader's error and the guest's it gives the one that
// was first: the other only says that the stream ended.
func (c *copying) receive(read func(ctx context.Context, r io.Reader) error) error {
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	r, w := io.Pipe()
	fetched := make(chan error, 1)
	go func() {
		err := c.Fetch(ctx, c.spec.Guest.Path, math.MaxInt64/2, w)
		w.CloseWithError(err)
		fetched <- err
	}()
	err := read(ctx, r)
	if err == nil {
		var n int64
		if n, err = io.Copy(io.Discard, io.LimitReader(r, maxPadding+1)); n > maxPadding {
			err = c.problem(driver.ErrCorrupt, "", "the guest goes on after the end of what it sent")
		}
	}
	r.CloseWithError(err)
	if err != nil {
		cancel() // a guest that says nothing more is not waited for
	}
	if guest := <-fetched; err == nil || guest != nil && errors.Is(err, guest) {
		err = guest
	}
	if err != nil {
		return c.failed(err)
	}
	return nil
}

// CopyIn copies a file or a tree of the host into a running guest.
func (o Online) CopyIn(ctx context.Context, spec driver.CopySpec) (driver.Copied, error) {
	const op = "copy to"
	var out driver.Copied
	c, err := o.begin(ctx, op, spec)
	if err != nil {
		return out, err
	}
	if spec.Guest.ReadOnly != "" {
		return out, c.problem(driver.ErrRefused, spec.Guest.Instead, "%s", spec.Guest.ReadOnly)
	}
	src, err := transfer.NewSource("copy", spec.Host, spec.Recursive, &out)
	if err != nil {
		return out, err
	}
	to, err := c.land(src)
	if err != nil {
		return out, err
	}
	r, w := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := c.pack(w, src, to, &out)
		w.CloseWithError(err)
		packed <- err
	}()
	err = c.Put(ctx, to.folder, r)
	r.CloseWithError(errors.New("the guest took no more"))
	if mine := <-packed; err != nil {
		if e, ok := errors.AsType[*driver.Error](mine); ok {
			return out, e
		}
		return out, c.failed(err)
	}
	out.To = spec.Guest.Disk + ":" + path.Join(to.folder, to.name)
	return out, nil
}

// landing is where a copy comes to in the guest.
type landing struct {
	folder, name string
	uid, gid     uint32
	mode         fs.FileMode // of the replaced file; 0 when there is none
	exists       bool        // the directory that is merged into
}

func (c *copying) land(src *transfer.Source) (landing, error) {
	tree := src.Top.Mode.IsDir()
	to, info, err := c.follow(c.spec.Guest.Path)
	if err != nil && !errors.Is(err, driver.ErrNotFound) {
		return landing{}, c.failed(err)
	}
	if err == nil && info.Mode.IsDir() {
		switch src.Base {
		case "":
			return landing{}, c.problem(driver.ErrInvalid, "say what the file is to be called", "it is a directory, and what comes from stdin has no name")
		case ".":
			return landing{folder: to, name: ".", uid: info.UID, gid: info.GID, exists: true}, nil
		}
		if to, info, err = c.follow(to + "/" + src.Base); err != nil && !errors.Is(err, driver.ErrNotFound) {
			return landing{}, c.failed(err)
		}
		switch {
		case err == nil && info.Mode.IsDir() && tree:
			return landing{folder: to, name: ".", uid: info.UID, gid: info.GID, exists: true}, nil
		case err == nil && info.Mode.IsDir():
			return landing{}, c.problem(driver.ErrInvalid, "move it away, or name another destination", "a directory called %q is there", src.Base)
		}
	} else if strings.HasSuffix(c.spec.Guest.Path, "/") && !tree {
		if err == nil {
			return landing{}, c.problem(driver.ErrInvalid, "leave the slash at its end away to replace the file", "it is no directory")
		}
		return landing{}, c.problem(driver.ErrNotFound, "", "there is no such directory")
	}
	folder, name := cutLast(to)
	l := landing{folder: folder, name: name, uid: info.UID, gid: info.GID, mode: info.Mode}
	switch {
	case err == nil && tree:
		return landing{}, c.problem(driver.ErrInvalid, "name another destination", "it is a file, and a directory can't take its place")
	case err == nil && !info.Mode.IsRegular():
		return landing{}, c.problem(driver.ErrInvalid, "", "it is %s; only regular files are replaced", guesttree.KindOf(info.Mode))
	case err == nil:
		return l, nil
	}
	parent, err := c.Stat(c.ctx, l.folder, true)
	if errors.Is(err, driver.ErrNotFound) || err == nil && !parent.Mode.IsDir() {
		return landing{}, c.problem(driver.ErrNotFound, "make it first, or copy a directory with -r", "there is no directory %s", l.folder)
	}
	if err != nil {
		return landing{}, c.failed(err)
	}
	l.uid, l.gid, l.mode = parent.UID, parent.GID, 0
	return l, nil
}

// cutLast splits a path into folder and name. It is not cleaned: where ".." leads is the guest's to say.
func cutLast(p string) (folder, name string) {
	i := strings.LastIndexByte(p, '/')
	return p[:max(i, 1)], p[i+1:]
}

const maxLinks = 40

// follow goes through symlinks at a path's end: put would replace the link itself.
func (c *copying) follow(to string) (string, control.FileInfo, error) {
	if to = strings.TrimRight(to, "/"); to == "" {
		to = "/"
	}
	for links := 0; ; links++ {
		info, err := c.Stat(c.ctx, to, false)
		if err != nil || info.Mode&fs.ModeSymlink == 0 {
			return to, info, err
		}
		if links == maxLinks {
			return to, info, c.problem(driver.ErrInvalid, "", "too many symlinks")
		}
		if path.IsAbs(info.Target) {
			to = info.Target
		} else {
			folder, _ := cutLast(to)
			to = folder + "/" + info.Target
		}
		if _, err := c.Stat(c.ctx, to, false); errors.Is(err, driver.ErrNotFound) {
			return to, info, c.problem(driver.ErrInvalid, "remove it in the guest, or name another destination", "it is a symlink that leads nowhere")
		}
	}
}

// pack sends the source. Directories that are there already keep what they are.
func (c *copying) pack(w io.Writer, src *transfer.Source, to landing, out *driver.Copied) error {
	p := transfer.NewPack(w, to.name, to.uid, to.gid)
	there := map[string]bool{".": to.exists}
	err := src.Walk(c.ctx, func(e transfer.Entry, content io.Reader) error {
		if e.Mode.IsDir() {
			if e.Name != "." && there[path.Dir(e.Name)] {
				info, err := c.Stat(c.ctx, path.Join(to.folder, to.name, e.Name), true)
				there[e.Name] = err == nil && info.Mode.IsDir()
			}
			if there[e.Name] {
				return nil
			}
		}
		add := p.Add
		if e.Size < 0 {
			if e.Time = time.Now(); to.mode != 0 {
				e.Mode = to.mode
			}
			add = func(e transfer.Entry, content io.Reader) (int64, error) { return p.AddStream(c.ctx, e, content) }
		}
		n, err := add(e, content)
		if !e.Mode.IsDir() && e.Mode&fs.ModeSymlink == 0 {
			out.Files++
			out.Bytes += n
		}
		return err
	})
	if err != nil {
		return err
	}
	return p.Close()
}
