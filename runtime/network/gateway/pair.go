package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"microagent/runtime/frame"
)

// Frames of the socket pair between a supervisor and its gateway. Both are one program, so nothing of it is kept for other
// versions.
const (
	kindNetwork = 'N' // to the gateway: spec.Network in JSON, in the place of what was
	kindGuest   = 'G' // to the gateway: a connection to the guest's stream port comes with it; the guest is new
	kindPeer    = 'P' // to the gateway: the answer to an ask, with a connection unless it says why not
	kindAsk     = 'A' // of the gateway: a connection to a peer is wanted
	kindDenial  = 'D' // of the gateway: a record
	kindState   = 'S' // of the gateway: how it is now
	kindLog     = 'L' // of the gateway: a line
	kindGone    = 'E' // of the gateway: the guest's packets have ended
)

// pairLimit bounds a frame: a network of some thousand rules.
const pairLimit = 4 << 20

// pair is one end of the socket pair. A file travels with the first byte of its frame.
type pair struct {
	conn *net.UnixConn

	writing sync.Mutex
	files   []*os.File // that came and whose frames were not read yet
}

// message is a frame that came, with its file.
type message struct {
	kind byte
	data []byte
	file *os.File
}

// send writes v in JSON, and a file along.
func (p *pair) send(kind byte, v any, file *os.File) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(data) > pairLimit {
		return &frame.TooLargeError{Size: len(data)}
	}
	b := make([]byte, frame.PrefixSize, frame.PrefixSize+len(data))
	frame.PutPrefix(b, kind, len(data))
	b = append(b, data...)
	p.writing.Lock()
	defer p.writing.Unlock()
	if file != nil {
		n, _, err := p.conn.WriteMsgUnix(b, unix.UnixRights(int(file.Fd())), nil)
		if err != nil {
			return err
		}
		b = b[n:]
	}
	_, err = p.conn.Write(b)
	return err
}

// next waits for a frame. Whether one has a file its kind says; it is the caller's.
func (p *pair) next() (message, error) {
	kind, data, err := frame.Read(p, pairLimit)
	if err != nil {
		return message{}, err
	}
	m := message{kind: kind, data: data}
	if len(p.files) > 0 {
		m.file, p.files = p.files[0], p.files[1:]
	}
	return m, nil
}

// Read reads bytes, and keeps the files that come with them. A read ends before the bytes of another file (unix(7)).
func (p *pair) Read(b []byte) (int, error) {
	rights := make([]byte, unix.CmsgSpace(4))
	n, size, _, _, err := p.conn.ReadMsgUnix(b, rights)
	if err != nil {
		return n, err
	}
	list, err := unix.ParseSocketControlMessage(rights[:size])
	if err != nil {
		return n, fmt.Errorf("read a file: %w", err)
	}
	for _, m := range list {
		fds, err := unix.ParseUnixRights(&m)
		if err != nil {
			return n, fmt.Errorf("read a file: %w", err)
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			p.files = append(p.files, os.NewFile(uintptr(fd), "received"))
		}
	}
	if n == 0 {
		return 0, errClosed
	}
	return n, nil
}

var errClosed = errors.New("the other end is gone")

// connOf is the connection that a file is.
func connOf(file *os.File) (net.Conn, error) {
	if file == nil {
		return nil, errors.New("it came without its connection")
	}
	defer file.Close()
	return net.FileConn(file)
}
