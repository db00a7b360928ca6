package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/edit"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/driver"
	"microagent/runtime/guesttree"
	"microagent/runtime/lease"
)

const opIn = "copy to"

// CopyIn copies a file or a tree of the host to the disk.
func (Offline) CopyIn(ctx context.Context, spec driver.CopySpec) (out driver.Copied, err error) {
	defer func() { err = leaveToTheGuest(err, spec.Guest.Workspace) }()
	object := spec.Guest.Disk + ":" + spec.Guest.Path
	if spec.Guest.ReadOnly != "" {
		return out, problem(driver.ErrRefused, opIn, object, spec.Guest.Instead, "%s", spec.Guest.ReadOnly)
	}
	src, err := NewSource("copy", spec.Host, spec.Recursive, &out)
	if err != nil {
		return out, err
	}
	d, err := open(opIn, spec.Guest, lease.Exclusive)
	if err != nil {
		return out, err
	}
	defer d.Close()
	e, err := edit.Open(d.File(), d.size, time.Now())
	if err != nil {
		return out, wrap(opIn, spec.Guest.Disk, err)
	}
	in := inward{ctx: ctx, e: e, object: object, end: spec.Guest, src: src, out: &out, dirs: map[string]read.Inode{}}
	if err := in.land(); err != nil {
		return out, err
	}
	if err := src.Walk(ctx, in.add); err != nil {
		return out, in.failed(err)
	}
	if err := in.finish(); err != nil {
		return out, in.failed(err)
	}
	out.To = spec.Guest.Disk + ":" + path.Join(in.folder, in.name)
	return out, nil
}

// inward is a copy onto a disk on its way.
type inward struct {
	ctx    context.Context
	e      *edit.Editor
	object string
	end    driver.GuestEnd
	src    *Source
	out    *driver.Copied
	// Where it goes: a name in a directory, or "." for the directory itself.
	folder   string
	parent   read.Inode
	name     string
	replaced *read.Inode
	uid, gid uint32
	dirs     map[string]read.Inode // by entry
	made     []madeDir
}

type madeDir struct {
	inode uint32
	time  time.Time
}

func (in *inward) problem(class error, next, format string, args ...any) error {
	return problem(class, opIn, in.object, next, format, args...)
}

// land finds out where the copy goes.
func (in *inward) land() error {
	tree := in.src.Top.Mode.IsDir()
	to := in.end.Path
	n, real, err := in.e.ResolvePath(to, true)
	if err := covered(opIn, in.object, in.end, real); err != nil {
		return err
	}
	if err == nil && n.IsDir() {
		switch in.src.Base {
		case "":
			return in.problem(driver.ErrInvalid, "say what the file is to be called", "it is a directory, and what comes from stdin has no name")
		case ".":
			in.folder, in.parent, in.name = real, n, "."
			in.uid, in.gid = n.UID, n.GID
			return nil
		}
		to = path.Join(real, in.src.Base)
		inner, innerReal, innerErr := in.e.ResolvePath(to, true)
		if err := covered(opIn, in.object, in.end, innerReal); err != nil {
			return err
		}
		if innerErr == nil && inner.IsDir() && !tree {
			return in.problem(driver.ErrInvalid, "move it away, or name another destination", "a directory called %q is there", in.src.Base)
		}
		if innerErr == nil && inner.IsDir() {
			in.folder, in.parent, in.name = innerReal, inner, "."
			in.uid, in.gid = inner.UID, inner.GID
			return nil
		}
		n, real, err = inner, innerReal, innerErr
	} else if strings.HasSuffix(to, "/") && !tree {
		if err == nil {
			return in.problem(driver.ErrInvalid, "leave the slash at its end away to replace the file", "it is no directory")
		}
		return in.problem(driver.ErrNotFound, "", "there is no such directory")
	}
	switch {
	case err == nil && tree:
		return in.problem(driver.ErrInvalid, "name another destination", "it is a file, and a directory can't take its place")
	case err == nil && !n.IsRegular():
		return in.problem(driver.ErrInvalid, "", "it is %s; only regular files are replaced", guesttree.KindOf(mode(n)))
	case err == nil:
		in.replaced, in.uid, in.gid = &n, n.UID, n.GID
		in.folder, in.name = path.Dir(real), path.Base(real)
		in.parent, err = in.e.Resolve(in.folder, false)
		return wrap(opIn, in.object, err)
	case !errors.Is(err, fs.ErrNotExist):
		return wrap(opIn, in.object, err)
	}
	return in.landNew(to)
}

// landNew finds the directory of a file that is not there yet.
func (in *inward) landNew(to string) error {
	clean := path.Clean(to)
	dir, real, err := in.e.ResolvePath(path.Dir(clean), true)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !dir.IsDir() {
		return in.problem(driver.ErrNotFound, "make it first, or copy a directory with -r", "there is no directory %s", path.Dir(clean))
	}
	if err != nil {
		return wrap(opIn, in.object, err)
	}
	if err := covered(opIn, in.object, in.end, path.Join(real, path.Base(clean))); err != nil {
		return err
	}
	if _, err := in.e.Lookup(dir, path.Base(clean)); err == nil {
		return in.problem(driver.ErrInvalid, "remove it in the guest, or name another destination", "it is a symlink that leads nowhere")
	} else if !errors.Is(err, fs.ErrNotExist) {
		return wrap(opIn, in.object, err)
	}
	in.folder, in.parent, in.name = real, dir, path.Base(clean)
	in.uid, in.gid = dir.UID, dir.GID
	return nil
}

// add puts one entry onto the disk.
func (in *inward) add(e Entry, content io.Reader) error {
	parent, name := in.parent, in.name
	if e.Name != "." {
		parent, name = in.dirs[path.Dir(e.Name)], path.Base(e.Name)
	}
	real := path.Join(in.folder, in.name, e.Name)
	if err := covered(opIn, in.object, in.end, real); err != nil && !(e.Mode.IsDir() && slices.Contains(in.end.Covered, real)) {
		return err
	}
	if !e.Mode.IsDir() {
		for _, v := range in.end.Volatile {
			if strings.HasPrefix(real, v+"/") {
				return in.problem(driver.ErrInvalid, "start the workspace and copy then, or name another place",
					"it leads to %s, and the guest makes %s anew at each start", real, v)
			}
		}
	}
	attr := ext4.Attr{Mode: bits(e.Mode), UID: in.uid, GID: in.gid, Mtime: e.Time}
	if e.Size < 0 {
		attr.Mtime = time.Now()
		if in.replaced != nil {
			attr.Mode = in.replaced.Mode & 0o7777
		}
	}
	err := in.put(e, parent, name, attr, content)
	if err != nil && e.Name != "." {
		err = fmt.Errorf("%s: %w", e.Name, err)
	}
	if err == nil && in.e.Full() {
		err = in.e.Commit()
	}
	return err
}

func (in *inward) put(e Entry, parent read.Inode, name string, attr ext4.Attr, content io.Reader) error {
	switch {
	case e.Mode.IsDir() && e.Name == "." && in.name == ".":
		in.dirs["."] = in.parent
		return nil
	case e.Mode.IsDir():
		n, made, err := in.e.Mkdir(parent, name, attr)
		if made {
			in.made = append(in.made, madeDir{n.Number, e.Time})
		}
		in.dirs[e.Name] = n
		return err
	case e.Mode&fs.ModeSymlink != 0:
		return in.e.Symlink(parent, name, e.Target, attr)
	case e.Link != "":
		first, err := in.e.Lookup(in.dirs[path.Dir(e.Link)], path.Base(e.Link))
		if err == nil {
			err = in.e.Link(parent, name, first.Number)
		}
		if !errors.Is(err, edit.ErrManyLinks) {
			in.out.Files++
			return err
		}
	}
	n, err := in.e.WriteFile(parent, name, attr, content)
	in.out.Files++
	in.out.Bytes += n
	return err
}

// finish gives directories the times that they had before anything came into them.
func (in *inward) finish() error {
	for _, d := range in.made {
		if err := in.e.SetTime(d.inode, d.time); err != nil {
			return err
		}
		if in.e.Full() {
			if err := in.e.Commit(); err != nil {
				return err
			}
		}
	}
	return in.e.Commit()
}

func (in *inward) failed(err error) error {
	if in.ctx.Err() != nil {
		return in.ctx.Err()
	}
	if e, ok := err.(*driver.Error); ok {
		return e
	}
	if errors.Is(err, ext4.ErrTooLarge) {
		return &driver.Error{
			Class: driver.ErrNoSpace, Op: opIn, Object: in.object, Err: err,
			Next: "make room on the disk, or give it a larger one; what was there is untouched",
		}
	}
	return wrap(opIn, in.object, err)
}

// bits are the permissions of Go's mode in an inode's form.
func bits(m fs.FileMode) uint32 {
	b := uint32(m.Perm())
	for _, s := range []struct {
		mode fs.FileMode
		bit  uint32
	}{{fs.ModeSetuid, 0o4000}, {fs.ModeSetgid, 0o2000}, {fs.ModeSticky, 0o1000}} {
		if m&s.mode != 0 {
			b |= s.bit
		}
	}
	return b
}
