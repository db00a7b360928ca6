package qemu

import (
	"bytes"
	"errors"
	"net"
	"os"
	"sync"

	"microagent/ch/api"
)

// ringSize is how much of the guest's output a client that comes late still gets.
const ringSize = 1 << 20

// serial is the host's side of the guest's serial port in the modes File and Socket. It outlives a VM: it is
// made by vm.create, and each boot attaches to it.
type serial struct {
	file     *os.File          // mode File
	listener *net.UnixListener // mode Socket
	work     sync.WaitGroup

	mu     sync.Mutex
	grown  *sync.Cond // total, client or closed changed
	ring   []byte     // the end of the output
	total  uint64     // bytes of output there were
	client *net.UnixConn
	guest  *net.UnixConn
	closed bool
}

// openSerial gives nil for the modes that need nothing on the host.
func openSerial(c api.SerialConfig) (*serial, error) {
	texts := []string{"Error creating console devices", "Error creating console device"}
	switch c.Mode {
	case api.ConsoleModeFile:
		if deref(c.File) == "" {
			return nil, because(append(texts, "Path missing when using file console mode")...)
		}
		file, err := os.OpenFile(*c.File, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
		if err != nil {
			return nil, wrap(err, texts...)
		}
		return newSerial(file, nil), nil
	case api.ConsoleModeSocket:
		if deref(c.Socket) == "" {
			return nil, because(append(texts, "Path missing when using socket console mode")...)
		}
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: *c.Socket, Net: "unix"})
		if err != nil {
			return nil, wrap(err, texts...)
		}
		s := newSerial(nil, listener)
		s.work.Go(s.accept)
		return s, nil
	}
	return nil, nil
}

func newSerial(file *os.File, listener *net.UnixListener) *serial {
	s := &serial{file: file, listener: listener}
	s.grown = sync.NewCond(&s.mu)
	return s
}

// attach makes conn the guest's end. What the guest writes there comes out until the connection ends.
func (s *serial) attach(conn *net.UnixConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guest = conn
	s.work.Go(func() {
		buffer := make([]byte, 16<<10)
		for {
			n, err := conn.Read(buffer)
			s.output(buffer[:n])
			if err != nil {
				_ = conn.Close() // QEMU has closed it
				return
			}
		}
	})
}

// restart is for a VM that starts over: a file begins anew, as the real program has it.
func (s *serial) restart() error {
	if s.file == nil {
		return nil
	}
	if err := s.file.Truncate(0); err != nil {
		return err
	}
	_, err := s.file.Seek(0, 0)
	return err
}

func (s *serial) output(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file != nil {
		_, _ = s.file.Write(text) // a console that can't be written must not stop the guest
		return
	}
	s.total += uint64(len(text))
	s.ring = append(s.ring, text...)
	if over := len(s.ring) - ringSize; over > 0 {
		s.ring = append(s.ring[:0], s.ring[over:]...)
	}
	s.grown.Broadcast()
}

// after gives what came after position, as far as it is still kept, and the position behind that. It waits
// until there is something; false when conn is not the client any more.
func (s *serial) after(position uint64, conn *net.UnixConn) ([]byte, uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.client == conn && s.total == position {
		s.grown.Wait()
	}
	kept := s.ring[len(s.ring)-int(min(s.total-position, uint64(len(s.ring)))):]
	return bytes.Clone(kept), s.total, s.client == conn
}

func (s *serial) accept() {
	for {
		conn, err := s.listener.AcceptUnix()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue
		}
		s.mu.Lock()
		older := s.client
		if s.closed {
			older = conn
		} else {
			s.client = conn
			s.work.Go(func() { s.feed(conn) })
			s.work.Go(func() { s.obey(conn) })
		}
		s.grown.Broadcast()
		s.mu.Unlock()
		if older != nil {
			_ = older.Close() // a newer client takes its place
		}
	}
}

// feed sends a client what it missed and all that follows. A client that does not read misses what goes over
// the ring, and the guest does not wait for it.
func (s *serial) feed(conn *net.UnixConn) {
	var position uint64
	for {
		text, next, current := s.after(position, conn)
		if !current {
			return
		}
		if _, err := conn.Write(text); err != nil {
			return // obey notices it too
		}
		position = next
	}
}

// obey passes a client's input to the guest.
func (s *serial) obey(conn *net.UnixConn) {
	buffer := make([]byte, 4<<10)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			s.drop(conn)
			return
		}
		input := buffer[:n]
		if string(input) == "\n" {
			input = []byte("\r")
		}
		s.mu.Lock()
		guest := s.guest
		s.mu.Unlock()
		if guest != nil {
			_, _ = guest.Write(input) // a guest that is gone reads nothing
		}
	}
}

func (s *serial) drop(conn *net.UnixConn) {
	s.mu.Lock()
	if s.client == conn {
		s.client = nil
	}
	s.grown.Broadcast()
	s.mu.Unlock()
	_ = conn.Close() // may be closed by either side already
}

// close ends the socket and the clients, and waits.
func (s *serial) close() error {
	s.mu.Lock()
	s.closed = true
	client, guest := s.client, s.guest
	s.client = nil
	s.grown.Broadcast()
	s.mu.Unlock()
	var err error
	if s.listener != nil {
		err = s.listener.Close()
	}
	for _, conn := range []*net.UnixConn{client, guest} {
		if conn != nil {
			_ = conn.Close() // may be closed by the other side already
		}
	}
	s.work.Wait()
	if s.file != nil {
		err = errors.Join(err, s.file.Close())
	}
	return err
}
