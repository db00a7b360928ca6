package agent

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/sparse"
	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
	"microagent/runtime/tartree"
)

// ready says whether there is a workspace whose files can be asked for.
func (a *Agent) ready() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.configured == nil {
		return proto.Errorf(proto.CodeRefused, "the guest was not configured yet")
	}
	return nil
}

func checkPath(path string) error {
	if !filepath.IsAbs(path) {
		return proto.Errorf(proto.CodeInvalid, "the path %q is not absolute", path)
	}
	return nil
}

// Stat looks at a path.
func (a *Agent) Stat(_ context.Context, req *wire.StatRequest) (*wire.StatResponse, error) {
	if err := errors.Join(a.ready(), checkPath(req.GetPath())); err != nil {
		return nil, answer(err)
	}
	var st unix.Stat_t
	look := unix.Lstat
	if req.GetFollow() {
		look = unix.Stat
	}
	if err := look(req.GetPath(), &st); err != nil {
		return nil, answer(&fs.PathError{Op: "stat", Path: req.GetPath(), Err: err})
	}
	resp := &wire.StatResponse{Mode: st.Mode, Size: st.Size, MtimeNanos: st.Mtim.Nano(), Uid: st.Uid, Gid: st.Gid}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		resp.Target, _ = os.Readlink(req.GetPath())
	}
	return resp, nil
}

// fetch sends the tree at a path as tar.
func (a *Agent) fetch(h *wire.StreamHeader, st *proto.Stream) error {
	if err := errors.Join(a.ready(), checkPath(h.GetPath())); err != nil {
		return answer(err)
	}
	path, err := filepath.EvalSymlinks(h.GetPath())
	if err != nil {
		return answer(err)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return answer(err)
	}
	if !info.IsDir() && !info.Mode().IsRegular() {
		return proto.Errorf(proto.CodeUnsupported, "%s is neither a file nor a directory", h.GetPath())
	}
	if err := st.Ok(); err != nil {
		return err
	}
	limit := h.GetLimit()
	if limit <= 0 {
		limit = proto.FetchLimit
	}
	out := &archive{w: tar.NewWriter(st), to: st, root: path, limit: limit, left: limit}
	if h.GetExecId() != "" {
		p, err := a.process(h.GetExecId())
		if err != nil {
			return answer(err)
		}
		out.since = &p.started
	}
	if err := filepath.WalkDir(path, out.add); err != nil {
		return answer(err)
	}
	return answered(out.w.Close())
}

func answered(err error) error {
	if err == nil {
		return nil
	}
	return answer(err)
}

// entryCost is what an entry without content counts against the limit: its header.
const entryCost = 512

// archive writes a tree.
type archive struct {
	w           *tar.Writer
	to          io.Writer // of w
	root        string
	limit, left int64
	links       map[inode]string
	since       *instant // what was changed before it is marked; nil marks nothing
}

type inode struct{ dev, ino uint64 }

func (r *archive) add(path string, d fs.DirEntry, err error) error {
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) && path != r.root {
			return nil // it went while we walked
		}
		return err
	}
	name, err := filepath.Rel(r.root, path)
	if err != nil {
		return err
	}
	info, err := d.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return r.file(name, path)
	case mode.IsDir(), mode&fs.ModeSymlink != 0:
		return r.entry(name, path, info)
	}
	return r.special(name, info)
}

func (r *archive) spend(n int64) error {
	if r.left -= n; r.left < 0 {
		return proto.Errorf(proto.CodeTooLarge, "%s holds more than the limit of %d bytes", r.root, r.limit)
	}
	return nil
}

func (r *archive) entry(name, path string, info fs.FileInfo) error {
	if err := r.spend(entryCost); err != nil {
		return err
	}
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		var err error
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := r.header(name, target, info)
	if err != nil {
		return err
	}
	return r.w.WriteHeader(h)
}

// special tells of a device, socket or pipe, so that the host can say that it stayed here. Tar has no sockets: theirs
// is an empty file whose mode says what it is.
func (r *archive) special(name string, info fs.FileInfo) error {
	if err := r.spend(entryCost); err != nil {
		return err
	}
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: unix.S_IFSOCK | int64(info.Mode().Perm()), Format: tar.FormatPAX}
	if info.Mode()&fs.ModeSocket == 0 {
		var err error
		if h, err = r.header(name, "", info); err != nil {
			return err
		}
	}
	return r.w.WriteHeader(h)
}

func (r *archive) header(name, target string, info fs.FileInfo) (*tar.Header, error) {
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return nil, err
	}
	h.Name, h.Format = name, tar.FormatPAX
	if info.IsDir() {
		h.Name += "/"
	}
	h.Uname, h.Gname, h.AccessTime, h.ChangeTime = "", "", time.Time{}, time.Time{}
	if r.since != nil && r.since.before(ctimeOf(info), now()) {
		h.PAXRecords = map[string]string{driver.PAXBefore: "1"}
	}
	return h, nil
}

// ctimeOf is when a file's content, name or attributes were last changed, since 1970. No program can set it.
func ctimeOf(info fs.FileInfo) time.Duration {
	return time.Duration(info.Sys().(*unixStat).Ctim.Nano())
}

func (r *archive) file(name, path string) error {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ELOOP) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return nil
	}
	h, err := r.header(name, "", info)
	if err != nil {
		return err
	}
	if st, ok := info.Sys().(*unixStat); ok && st.Nlink > 1 {
		key := inode{uint64(st.Dev), st.Ino}
		if first, seen := r.links[key]; seen {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
			if err := r.spend(entryCost); err != nil {
				return err
			}
			return r.w.WriteHeader(h)
		}
		if r.links == nil {
			r.links = map[inode]string{}
		}
		r.links[key] = name
	}
	var content io.Reader = f
	if h.Size == 0 || ofKernel(f) {
		data, err := wholeOf(f)
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		content, h.Size = bytes.NewReader(data), int64(len(data))
	}
	if err := r.spend(entryCost + h.Size); err != nil {
		return err
	}
	if content == f {
		held := sparse.New(context.Background(), f, info)
		data, err := held.Runs(h.Size, tartree.MaxRuns)
		if err != nil {
			return err
		}
		content = held
		if !sparse.Whole(data, h.Size) {
			err := tartree.WriteSparse(r.w, r.to, h, data, held)
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return fmt.Errorf("%s became shorter while it was read", path)
			}
			return err
		}
	}
	if err := r.w.WriteHeader(h); err != nil {
		return err
	}
	switch n, err := io.CopyN(r.w, content, h.Size); {
	case errors.Is(err, io.EOF):
		return fmt.Errorf("%s became shorter while it was read (%d of %d bytes)", path, n, h.Size)
	case err != nil:
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}
