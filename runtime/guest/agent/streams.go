package agent

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
)

const (
	headerPatience = 30 * time.Second
	// claimPatience bounds how long a stream waits for its process.
	claimPatience = 60 * time.Second
	// lingerTime bounds how long a finished stream waits for the host to close it.
	lingerTime = 30 * time.Second
	maxWaiting = 256
)

// waiting keeps streams between their opening and the start of their process.
type waiting struct {
	mu      sync.Mutex
	streams map[streamKey]*claim
}

type streamKey struct{ exec, kind string }

type claim struct {
	stream *proto.Stream
	expiry *time.Timer
}

func newWaiting() *waiting { return &waiting{streams: map[streamKey]*claim{}} }

func (w *waiting) put(key streamKey, st *proto.Stream) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.streams[key] != nil {
		return proto.Errorf(proto.CodeExists, "process %s has its %s already", key.exec, key.kind)
	}
	if len(w.streams) >= maxWaiting {
		return proto.Errorf(proto.CodeRefused, "too many streams wait for their process")
	}
	w.streams[key] = &claim{st, time.AfterFunc(claimPatience, func() {
		if st := w.take(key); st != nil {
			_ = st.Close()
		}
	})}
	return nil
}

// take gives a stream away; nil when there is none.
func (w *waiting) take(key streamKey) *proto.Stream {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := w.streams[key]
	if c == nil {
		return nil
	}
	c.expiry.Stop()
	delete(w.streams, key)
	return c.stream
}

// acceptStreams serves the stream port and returns when all its own streams have ended; those of processes are
// the processes'.
func (a *Agent) acceptStreams(ctx context.Context, l net.Listener) {
	var work sync.WaitGroup
	defer work.Wait()
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		work.Go(func() {
			stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
			if !a.serveStream(ctx, conn) {
				_ = conn.Close()
			}
			stop()
		})
	}
}

// serveStream is true when the stream was handed on.
func (a *Agent) serveStream(ctx context.Context, conn net.Conn) bool {
	defer func() {
		if r := recover(); r != nil {
			a.log.Printf("panic on a stream: %v", r)
		}
	}()
	h, st, err := proto.Accept(conn, headerPatience)
	if err != nil {
		return false
	}
	switch h.GetKind() {
	case proto.KindStdin, proto.KindStdout, proto.KindStderr, proto.KindTTY:
		key := streamKey{h.GetExecId(), h.GetKind()}
		// The answer goes first: once it waits, its process may write.
		if key.exec == "" {
			_ = st.Fail(proto.Errorf(proto.CodeInvalid, "a %s stream needs a process", key.kind))
			return false
		}
		if err := a.offer(key, st); err != nil {
			_ = st.Fail(err)
			return false
		}
		return true
	case proto.KindFetch:
		finish(st, a.fetch(h, st))
	case proto.KindPut:
		finish(st, a.put(h, st))
	case proto.KindDial:
		a.dial(ctx, h, st)
	case proto.KindListening:
		a.sendListening(ctx, h, st)
	case proto.KindStats:
		finish(st, a.sendStats(st))
	case proto.KindPackets:
		a.carryPackets(ctx, st)
	case proto.KindChanged:
		a.sendChanged(ctx, h, st)
	case proto.KindProbe:
		a.sendProbes(ctx, st)
	case proto.KindLog:
		a.sendLog(ctx, st)
	default:
		_ = st.Fail(proto.Errorf(proto.CodeUnsupported, "this agent knows no stream of kind %q", h.GetKind()))
	}
	return false
}

func (a *Agent) offer(key streamKey, st *proto.Stream) error {
	if err := a.streams.put(key, st); err != nil {
		return err
	}
	if err := st.Ok(); err != nil {
		a.streams.take(key)
		return err
	}
	return nil
}

// finish ends a stream of ours with the end or the error, and waits until the host has read it.
func finish(st *proto.Stream, err error) {
	if err != nil {
		err = st.Fail(err)
	} else {
		err = st.CloseWrite()
	}
	if err == nil {
		linger(st)
	}
}

// linger reads until the host closes: closing first with bytes unread can lose what is under way to it.
func linger(st *proto.Stream) {
	t := time.AfterFunc(lingerTime, func() { _ = st.Close() })
	defer t.Stop()
	st.DrainInput()
}

// tellHost answers a stream on which only we say something; gone is closed when the host has closed it. end closes it as well,
// and waits for that.
func tellHost(st *proto.Stream) (gone <-chan struct{}, end func()) {
	return drained(st, st.Ok())
}

// drained is tellHost of a stream that was answered, or was not for an error.
func drained(st *proto.Stream, answered error) (gone <-chan struct{}, end func()) {
	over := make(chan struct{})
	go func() {
		defer close(over)
		if answered == nil {
			st.DrainInput()
		}
	}()
	return over, func() {
		_ = st.Close()
		<-over
	}
}

// sendLog follows the log until the host closes the stream.
func (a *Agent) sendLog(ctx context.Context, st *proto.Stream) {
	gone, end := tellHost(st)
	defer end()
	position := int64(0)
	for {
		data, next, more := a.log.after(position)
		if _, err := st.Write(data); err != nil {
			return
		}
		position = next
		select {
		case <-more:
		case <-gone:
			return
		case <-ctx.Done():
			return
		}
	}
}

// pump copies a process's output to its stream and ends it.
//
// The process may leave children that hold the output open: once it has ended, only what it wrote itself is
// certain to come, and that is what the pipe holds at that moment, however large the process made it. What others write
// comes as well for a moment, and goes nowhere after that; it does not end them.
func pump(st *proto.Stream, src output, ended <-chan struct{}) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		st.DrainInput()
		select {
		case <-ended:
		default:
			src.Close() // nobody listens any more: the process's next write fails
		}
	}()
	if copyOutput(st, src, ended) {
		_ = st.CloseWrite()
		t := time.AfterFunc(lingerTime, func() { _ = st.Close() })
		<-gone
		t.Stop()
	}
	_ = st.Close()
	<-gone
	select {
	case <-ended:
		discard(src)
	default:
	}
	src.Close()
}

// discard reads to the end, over the deadlines that were set for what was to be sent.
func discard(src output) {
	for {
		_ = src.SetReadDeadline(time.Time{})
		if _, err := io.Copy(io.Discard, src); !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// pumpTerminal is pump for a terminal, whose stream goes both ways: its closing hangs the terminal up.
func pumpTerminal(st *proto.Stream, terminal *os.File, ended <-chan struct{}) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, err := io.Copy(terminal, st)
		if err == nil {
			_, _ = terminal.Write([]byte{endOfFile})
		}
		st.DrainInput()
		terminal.Close()
	}()
	whole := copyOutput(st, terminal, ended)
	_ = terminal.SetWriteDeadline(time.Unix(1, 0)) // nobody reads what is still typed
	if whole {
		_ = st.CloseWrite()
		t := time.AfterFunc(lingerTime, func() { _ = st.Close() })
		<-gone
		t.Stop()
	}
	_ = st.Close()
	<-gone
	terminal.Close()
}

// output is the reading end of a pipe or a terminal.
type output interface {
	io.ReadCloser
	SetReadDeadline(time.Time) error
}

const (
	strayBytes = 64 << 10 // how much may still come of what a process's children write after its end
	idleEnd    = 100 * time.Millisecond
)

// copyOutput is false when the host took no more.
func copyOutput(st io.Writer, src output, ended <-chan struct{}) bool {
	over := make(chan struct{})
	defer close(over)
	go func() {
		select {
		case <-ended:
			_ = src.SetReadDeadline(time.Unix(1, 0)) // ends a read that waits
		case <-over:
		}
	}()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := st.Write(buf[:n]); err != nil {
				return false
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return copyRest(st, src, buf)
		case err != nil:
			return true
		}
	}
}

// copyRest copies what a process that has ended left in its output, and then what comes of others for a moment.
func copyRest(st io.Writer, src output, buf []byte) bool {
	_ = src.SetReadDeadline(time.Time{})
	if _, err := io.CopyBuffer(st, io.LimitReader(onlyReader{src}, held(src)), buf); err != nil && !hungUp(err) {
		return false
	}
	for stray := 0; stray <= strayBytes; {
		_ = src.SetReadDeadline(time.Now().Add(idleEnd))
		n, err := src.Read(buf)
		if n > 0 {
			if _, err := st.Write(buf[:n]); err != nil {
				return false
			}
		}
		if err != nil {
			return true
		}
		stray += n
	}
	return true
}

// onlyReader hides what else a file can do, so that a copy goes through the buffer.
type onlyReader struct{ io.Reader }

// hungUp is how a terminal ends that nobody has open any more.
func hungUp(err error) bool { return errors.Is(err, unix.EIO) }

// held is how many bytes a pipe or terminal holds.
func held(src output) int64 {
	f, ok := src.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	if err := raw.Control(func(fd uintptr) { n, err = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }); err != nil {
		return 0
	}
	return int64(max(n, 0))
}

// feed copies the host's input to a process and closes it at the input's end.
func feed(dst io.WriteCloser, st *proto.Stream) {
	_, _ = io.Copy(dst, st)
	dst.Close()
	// What the process does not take is thrown away, so that the host's writes don't hang.
	st.DrainInput()
}
