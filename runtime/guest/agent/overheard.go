package agent

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
)

// overheard keeps the end of what processes say, one after the other, by one pipe: those that say nothing cost nothing. What
// one leaves behind writes to the next one's.
type overheard struct {
	null, r, w *os.File
	done       chan struct{}

	mu   sync.Mutex
	data []byte
	buf  [4 << 10]byte
}

func overhear() (*overheard, error) {
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	r, w, err := os.Pipe()
	if err != nil {
		null.Close()
		return nil, err
	}
	_ = syscall.SetNonblock(int(w.Fd()), false) // programs expect it
	o := &overheard{null: null, r: r, w: w, done: make(chan struct{})}
	go o.listen()
	return o, nil
}

func (o *overheard) close() {
	o.r.Close()
	<-o.done
	o.w.Close()
	o.null.Close()
}

// belongTo lets a user open its /dev/stdout.
func (o *overheard) belongTo(id identity) error { return o.w.Chown(int(id.uid), int(id.gid)) }

// files are standard input, output and error.
func (o *overheard) files() []uintptr {
	return []uintptr{o.null.Fd(), o.w.Fd(), o.w.Fd()}
}

// listen reads as it comes, so that nobody who says much is held up.
func (o *overheard) listen() {
	defer close(o.done)
	conn, err := o.r.SyscallConn()
	if err != nil {
		return
	}
	_ = conn.Read(func(fd uintptr) bool { // returns when the file is closed
		o.read(int(fd))
		return false
	})
}

// read takes what is there.
func (o *overheard) read(fd int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for {
		n, err := unix.Read(fd, o.buf[:])
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return
		}
		o.data = append(o.data, o.buf[:n]...)
		o.data = o.data[max(0, len(o.data)-proto.MaxSaid):]
	}
}

// take gives the end of what was said since the last time.
func (o *overheard) take() []byte {
	if conn, err := o.r.SyscallConn(); err == nil {
		_ = conn.Control(func(fd uintptr) { o.read(int(fd)) })
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	said := o.data
	o.data = nil
	return said
}
