package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// A path is watched by inotify, at the deepest directory above it that there is. What that does not tell of, a target of
// a symlink, a file system that is mounted over it, a file of the kernel's, is seen by the look that comes all the same.
const (
	changedEvents = unix.IN_CREATE | unix.IN_MOVED_TO | unix.IN_MOVED_FROM | unix.IN_DELETE | unix.IN_ATTRIB | unix.IN_MODIFY |
		unix.IN_CLOSE_WRITE | unix.IN_DELETE_SELF | unix.IN_MOVE_SELF
	changedPause = 100 * time.Millisecond // between two looks at what was changed already
	changedLook  = 5 * time.Second
)

// sendChanged says whether what is at a path was made or changed since the start of the main process, or of the guest
// where it has none, and again when that is otherwise, until the host closes the stream.
func (a *Agent) sendChanged(ctx context.Context, h *wire.StreamHeader, st *proto.Stream) {
	path := filepath.Clean(h.GetPath())
	if !filepath.IsAbs(path) || strings.ContainsRune(path, 0) {
		finish(st, proto.Errorf(proto.CodeInvalid, "%q is no absolute path", h.GetPath()))
		return
	}
	w, err := newWatcher(path)
	if err != nil {
		finish(st, answer(err))
		return
	}
	defer w.close()
	gone, end := tellHost(st)
	defer end()
	since, told := a.began(), byte(2)
	var looks pace
	for {
		w.place() // before the look, so that no change is missed
		looks.begin()
		now := byte(0)
		if changedSince(path, since) {
			now = 1
		}
		if now != told {
			if _, err := st.Write([]byte{now}); err != nil {
				return
			}
			told = now
		}
		wait, rest := time.NewTimer(changedLook), lookFirst
		select {
		case <-w.stirred:
		case <-wait.C:
		case <-gone:
			return
		case <-ctx.Done():
			return
		}
		wait.Stop()
		if told == 1 {
			rest = changedPause
		}
		if !looks.await(ctx, gone, rest) {
			return
		}
	}
}

// began is when the main process did, or the guest.
func (a *Agent) began() instant {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.main != nil {
		return a.main.started
	}
	return a.up
}

func changedSince(path string, since instant) bool {
	var st unix.Stat_t
	if unix.Stat(path, &st) != nil {
		return false
	}
	return !since.before(time.Duration(st.Ctim.Nano()), now())
}

// watcher hears of changes in the deepest directory above a path.
type watcher struct {
	path    string
	file    *os.File      // of inotify
	fd      int           // of file
	stirred chan struct{} // has room for one
	done    chan struct{}
	at      string // what is watched, "" for nothing
	number  int    // of the watch
}

func newWatcher(path string) (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, os.NewSyscallError("inotify_init1", err)
	}
	w := &watcher{path: path, fd: fd, file: os.NewFile(uintptr(fd), "inotify"), stirred: make(chan struct{}, 1), done: make(chan struct{})}
	go w.read()
	return w, nil
}

func (w *watcher) close() {
	w.file.Close()
	<-w.done
}

// read drains what is told: what it was does not matter, since the path is looked at.
func (w *watcher) read() {
	defer close(w.done)
	buf := make([]byte, 64<<10)
	for {
		if _, err := w.file.Read(buf); err != nil {
			return
		}
		select {
		case w.stirred <- struct{}{}:
		default:
		}
	}
}

// place watches the deepest directory that is there now. One that was removed is no longer what its path names.
func (w *watcher) place() {
	for {
		at := deepest(w.path)
		number, err := unix.InotifyAddWatch(w.fd, at, changedEvents) // the same number when it is watched already
		if err != nil {
			if !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOTDIR) {
				return // the look that comes all the same remains
			}
			continue // it went just now
		}
		if w.at != "" && number != w.number {
			_, _ = unix.InotifyRmWatch(w.fd, uint32(w.number)) // it may be gone
		}
		w.at, w.number = at, number
		if deepest(w.path) == at {
			return
		}
	}
}

// deepest is the nearest directory above path that is there.
func deepest(path string) string {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(dir); dir == "/" || err == nil && info.IsDir() {
			return dir
		}
	}
}
