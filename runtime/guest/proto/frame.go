package proto

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"sync"

	"google.golang.org/protobuf/proto"

	"microagent/runtime/frame"
	"microagent/runtime/guest/proto/wire"
)

const (
	frameHeader = 'H'
	frameOK     = 'O'
	frameData   = 'D'
	frameEnd    = 'E'
	frameError  = 'X'
	frameNext   = 'N'
)

// FrameError says that the peer does not keep to the framing.
type FrameError struct{ What string }

func (e *FrameError) Error() string { return "stream: " + e.What }

// frameReader gives the bytes of data frames: io.EOF after an end frame, io.ErrUnexpectedEOF when the connection
// ends without one, a *GuestError for an error frame.
type frameReader struct {
	r    *bufio.Reader
	left int   // of the data frame in hand
	owed bool  // the guest's answer to the header comes first
	err  error // what every later Read gives
}

// readAhead is room for frames' prefixes and small frames; larger reads go past it, into the reader's own buffer.
const readAhead = 4 << 10

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(r, readAhead)}
}

func (f *frameReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if f.owed {
		f.owed, f.err = false, f.ok()
	}
	for f.left == 0 {
		if f.err != nil {
			return 0, f.err
		}
		f.err = f.next()
	}
	n, err := f.r.Read(p[:min(len(p), f.left)])
	f.left -= n
	if err != nil {
		f.left, f.err = 0, frame.Cut(err)
		if n > 0 {
			err = nil
		} else {
			err = f.err
		}
	}
	return n, err
}

// next takes the next frame's prefix; the whole frame unless it is data.
func (f *frameReader) next() error {
	kind, size, err := f.prefix()
	if err != nil {
		return err
	}
	switch kind {
	case frameData:
		f.left = size
		return nil
	case frameEnd:
		if size != 0 {
			return &FrameError{"an end frame with content"}
		}
		return io.EOF
	case frameError:
		return f.failure(size)
	}
	return &FrameError{fmt.Sprintf("a frame of type %q in the middle", kind)}
}

func (f *frameReader) prefix() (kind byte, size int, err error) {
	kind, size, err = frame.Prefix(f.r, MaxFrame)
	return kind, size, broken(frame.Cut(err))
}

func (f *frameReader) payload(size int) ([]byte, error) { return frame.Content(f.r, size) }

// broken makes a FrameError of a frame that is too large.
func broken(err error) error {
	if over, ok := errors.AsType[*frame.TooLargeError](err); ok {
		return &FrameError{over.Error()}
	}
	return err
}

func (f *frameReader) failure(size int) error {
	data, err := f.payload(size)
	if err != nil {
		return err
	}
	var msg wire.StreamError
	if err := proto.Unmarshal(data, &msg); err != nil {
		return &FrameError{"an error frame that can't be read"}
	}
	return &GuestError{Code: Code(said(msg.GetCode())), Message: said(msg.GetMessage())}
}

// header takes the first frame of the host.
func (f *frameReader) header() (*wire.StreamHeader, error) {
	kind, size, err := f.prefix()
	if err != nil {
		return nil, err
	}
	if kind != frameHeader {
		return nil, &FrameError{fmt.Sprintf("begins with a frame of type %q", kind)}
	}
	data, err := f.payload(size)
	if err != nil {
		return nil, err
	}
	var h wire.StreamHeader
	if err := proto.Unmarshal(data, &h); err != nil {
		return nil, &FrameError{"a header that can't be read"}
	}
	return &h, nil
}

// ok takes the first frame of the guest.
func (f *frameReader) ok() error {
	kind, size, err := f.prefix()
	switch {
	case err != nil:
		return err
	case kind == frameError:
		return f.failure(size)
	case kind != frameOK || size != 0:
		return &FrameError{fmt.Sprintf("answered by a frame of type %q", kind)}
	}
	return nil
}

// over takes what the guest says after its end, and waits for it: nil when another header may follow.
func (f *frameReader) over() error {
	if f.err != io.EOF || f.left > 0 {
		return &FrameError{"asked for its next connection before the end of this one"}
	}
	kind, size, err := f.prefix()
	switch {
	case err != nil:
		return err
	case kind != frameNext || size != 0:
		return &FrameError{fmt.Sprintf("a frame of type %q after the end", kind)}
	}
	f.err = nil
	return nil
}

// frameWriter makes frames up to the last; it may be used by several goroutines.
type frameWriter struct {
	out  frame.Writer
	mu   sync.Mutex
	done bool
}

func newFrameWriter(w io.Writer) *frameWriter {
	return &frameWriter{out: frame.Writer{W: w, Limit: MaxFrame}}
}

var errEnded = errors.New("stream: written to after its end")

func (f *frameWriter) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 {
		n := min(len(p), MaxFrame-frame.PrefixSize)
		if err := f.frame(frameData, p[:n]); err != nil {
			return written, err
		}
		written += n
		p = p[n:]
	}
	return written, nil
}

// writeInPlace is Write of b without its first frame.PrefixSize bytes; these it overwrites, and more of b.
func (f *frameWriter) writeInPlace(b []byte) error {
	for len(b) > frame.PrefixSize {
		n := min(len(b), MaxFrame)
		if err := f.put(frameData, b[:n], f.out.SendInPlace); err != nil {
			return err
		}
		b = b[n-frame.PrefixSize:]
	}
	return nil
}

func (f *frameWriter) frame(kind byte, data []byte) error { return f.put(kind, data, f.out.Send) }

// hold is a frame that goes with the next one.
func (f *frameWriter) hold(kind byte, data []byte) error { return f.put(kind, data, f.out.Hold) }

func (f *frameWriter) put(kind byte, data []byte, write func(byte, []byte) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.done {
		return errEnded
	}
	f.done = (kind == frameEnd || kind == frameError) && len(data) <= MaxFrame
	return broken(write(kind, data))
}

// again lets frames follow the last one, and keeps no memory of those before; false where there was no last one.
func (f *frameWriter) again() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.done {
		return false
	}
	f.done, f.out = false, frame.Writer{W: f.out.W, Limit: f.out.Limit}
	return true
}

func (f *frameWriter) message(kind byte, m proto.Message) error {
	data, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	return f.frame(kind, data)
}
