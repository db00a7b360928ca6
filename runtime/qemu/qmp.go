package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"
)

// qmpEvent is what QEMU tells unasked.
type qmpEvent struct {
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// qmpError is QEMU's refusal of a command.
type qmpError struct {
	Class string `json:"class"`
	Desc  string `json:"desc"`
}

func (e *qmpError) Error() string { return e.Desc }

// errQMPClosed says that QEMU closed its end, which it does when it exits.
var errQMPClosed = errors.New("QEMU closed its monitor")

// qmp is the connection to one QEMU's monitor. Commands may be sent from any goroutine. Events are kept in order
// until event fetches them, so that an answer is never stuck behind an event that nobody has time for.
type qmp struct {
	conn *net.UnixConn
	wake chan struct{} // has room for one: an event came, or reading has ended

	mu      sync.Mutex
	next    uint64
	waiting map[string]chan qmpReply
	pending []qmpEvent
	err     error // set once reading has ended
}

// maxPending bounds the events that wait; a guest can cause them at will. What comes above it is dropped.
const maxPending = 4096

type qmpReply struct {
	result json.RawMessage
	err    error
}

// message is any line that QEMU sends.
type message struct {
	Greeting json.RawMessage `json:"QMP"`
	Return   json.RawMessage `json:"return"`
	Error    *qmpError       `json:"error"`
	ID       string          `json:"id"`
	qmpEvent
}

// maxQMPLine bounds one line. The longest answer, of query-blockstats with a hundred disks, has some 200 KiB.
const maxQMPLine = 8 << 20

// decodeQMP reads lines until the stream ends and hands over each message. An unreadable line ends it.
func decodeQMP(r io.Reader, each func(message)) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 64<<10), maxQMPLine)
	for lines.Scan() {
		if len(lines.Bytes()) == 0 {
			continue
		}
		var m message
		if err := json.Unmarshal(lines.Bytes(), &m); err != nil {
			return fmt.Errorf("read QEMU's monitor: %w", err)
		}
		each(m)
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read QEMU's monitor: %w", err)
	}
	return errQMPClosed
}

// openQMP waits for the greeting and switches the monitor to command mode.
func openQMP(ctx context.Context, conn *net.UnixConn) (*qmp, error) {
	q := &qmp{conn: conn, wake: make(chan struct{}, 1), waiting: map[string]chan qmpReply{}}
	greeted := make(chan struct{})
	go q.read(sync.OnceFunc(func() { close(greeted) }))
	select {
	case <-greeted:
	case <-ctx.Done():
		return q, context.Cause(ctx)
	}
	_, err := q.run(ctx, "qmp_capabilities", nil)
	return q, err
}

// read is the goroutine of a connection; it ends with it.
func (q *qmp) read(greeted func()) {
	err := decodeQMP(q.conn, func(m message) {
		switch {
		case m.Greeting != nil:
			greeted()
		case m.Event != "":
			q.mu.Lock()
			if len(q.pending) < maxPending {
				q.pending = append(q.pending, m.qmpEvent)
			}
			q.mu.Unlock()
			q.signal()
		case m.ID != "":
			q.mu.Lock()
			waiter := q.waiting[m.ID]
			delete(q.waiting, m.ID)
			q.mu.Unlock()
			if waiter == nil {
				return
			}
			reply := qmpReply{result: m.Return}
			if m.Error != nil {
				reply.err = m.Error
			}
			waiter <- reply
		}
	})
	q.mu.Lock()
	q.err = err
	for id, waiter := range q.waiting {
		delete(q.waiting, id)
		waiter <- qmpReply{err: err}
	}
	q.mu.Unlock()
	greeted()
	q.signal()
}

func (q *qmp) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// event waits for the next event; false when reading has ended and none is left. One goroutine may call it.
func (q *qmp) event() (qmpEvent, bool) {
	for {
		q.mu.Lock()
		if len(q.pending) > 0 {
			e := q.pending[0]
			q.pending = q.pending[1:]
			q.mu.Unlock()
			return e, true
		}
		ended := q.err != nil
		q.mu.Unlock()
		if ended {
			return qmpEvent{}, false
		}
		<-q.wake
	}
}

// run sends a command and waits for its answer. files go along with it, for getfd and add-fd.
func (q *qmp) run(ctx context.Context, command string, arguments any, files ...*os.File) (json.RawMessage, error) {
	waiter := make(chan qmpReply, 1)
	q.mu.Lock()
	if q.err != nil {
		q.mu.Unlock()
		return nil, fmt.Errorf("%s: %w", command, q.err)
	}
	q.next++
	id := strconv.FormatUint(q.next, 10)
	line, err := json.Marshal(struct {
		Execute   string `json:"execute"`
		Arguments any    `json:"arguments,omitempty"`
		ID        string `json:"id"`
	}{command, arguments, id})
	if err == nil {
		q.waiting[id] = waiter
		err = q.send(append(line, '\n'), files)
	}
	if err != nil {
		delete(q.waiting, id)
	}
	q.mu.Unlock()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	select {
	case reply := <-waiter:
		if reply.err != nil {
			return nil, fmt.Errorf("%s: %w", command, reply.err)
		}
		return reply.result, nil
	case <-ctx.Done():
		q.mu.Lock()
		delete(q.waiting, id)
		q.mu.Unlock()
		return nil, fmt.Errorf("%s: %w", command, context.Cause(ctx))
	}
}

func (q *qmp) send(line []byte, files []*os.File) error {
	if len(files) == 0 {
		_, err := q.conn.Write(line)
		return err
	}
	fds := make([]int, len(files))
	for i, f := range files {
		fds[i] = int(f.Fd())
	}
	n, _, err := q.conn.WriteMsgUnix(line, unix.UnixRights(fds...), nil)
	if err == nil && n < len(line) {
		_, err = q.conn.Write(line[n:])
	}
	return err
}

// close ends the connection; the reader ends with it.
func (q *qmp) close() error { return q.conn.Close() }
