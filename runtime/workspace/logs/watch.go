package logs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// watcher tells of files that come to folders and of files that grow. It is inotify(7) itself, since fsnotify asks for all
// that happens in a folder: every write of a guest to a disk there would be told, and following a log would take a third
// of a CPU while a guest writes 5000 times a second.
type watcher struct {
	file *os.File
	// changes come as they were read, several at once, each once; lost says that there were too many.
	changes chan changes

	mu    sync.Mutex
	paths map[int]string // by watch
	ended chan struct{}
	over  sync.WaitGroup
}

type changes struct {
	paths []string
	lost  bool
	err   error
}

func newWatcher() (*watcher, error) {
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		if errors.Is(err, unix.EMFILE) {
			err = errors.New("this user has too many watches open: fs.inotify.max_user_instances")
		}
		return nil, fmt.Errorf("watch files: %w", err)
	}
	w := &watcher{file: os.NewFile(uintptr(fd), "inotify"), changes: make(chan changes), paths: map[int]string{}, ended: make(chan struct{})}
	w.over.Go(w.read)
	return w, nil
}

// folder tells of what is made in a folder, or moved there.
func (w *watcher) folder(path string) error {
	return w.add(path, unix.IN_ONLYDIR|unix.IN_CREATE|unix.IN_MOVED_TO)
}

// grows tells of what is written to a file, under the name that it has now, whatever becomes of that.
func (w *watcher) grows(path string) error { return w.add(path, unix.IN_MODIFY) }

func (w *watcher) add(path string, mask uint32) error {
	raw, err := w.file.SyscallConn()
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	var failed error
	err = raw.Control(func(fd uintptr) {
		var watch int
		if watch, failed = unix.InotifyAddWatch(int(fd), path, mask); failed == nil {
			w.paths[watch] = path
		}
	})
	if err == nil {
		err = failed
	}
	if errors.Is(err, unix.ENOSPC) {
		err = errors.New("this user watches too many files: fs.inotify.max_user_watches")
	}
	if err != nil {
		return &os.PathError{Op: "watch", Path: path, Err: err}
	}
	return nil
}

func (w *watcher) read() {
	buf := make([]byte, 64<<10)
	for {
		n, err := w.file.Read(buf)
		got := w.parse(buf[:max(n, 0)])
		got.err = err
		if len(got.paths) == 0 && !got.lost && err == nil {
			continue
		}
		select {
		case w.changes <- got:
		case <-w.ended:
			return
		}
		if err != nil {
			return
		}
	}
}

// eventSize is that of struct inotify_event without its name.
const eventSize = unix.SizeofInotifyEvent

func (w *watcher) parse(data []byte) (got changes) {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := map[string]bool{}
	for len(data) >= eventSize {
		watch := int(int32(binary.NativeEndian.Uint32(data)))
		mask := binary.NativeEndian.Uint32(data[4:])
		size := int(binary.NativeEndian.Uint32(data[12:]))
		name := string(bytes.TrimRight(data[eventSize:min(len(data), eventSize+size)], "\x00"))
		data = data[min(len(data), eventSize+size):]
		path, ok := w.paths[watch]
		switch {
		case mask&unix.IN_Q_OVERFLOW != 0:
			got.lost = true
		case !ok:
		case mask&unix.IN_IGNORED != 0: // it is gone
			delete(w.paths, watch)
		default:
			if name != "" {
				path = filepath.Join(path, name)
			}
			if !known[path] {
				known[path] = true
				got.paths = append(got.paths, path)
			}
		}
	}
	return got
}

func (w *watcher) close() {
	close(w.ended)
	w.file.Close()
	w.over.Wait()
}
