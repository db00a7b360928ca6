package qemu

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// monitor writes the event stream: a JSON object over several lines and an empty line for each event. A reader
// that does not keep up loses events, since the VM must not wait for it.
type monitor struct {
	mu      sync.Mutex
	file    *os.File // nil: nobody listens
	fd      int      // of file, kept since File.Fd would make it blocking again
	started time.Time
}

// newMonitor takes over file, which may be nil. Its description is made non-blocking, as the real program does.
func newMonitor(file *os.File) (*monitor, error) {
	m := &monitor{file: file, started: time.Now()}
	if file != nil {
		m.fd = int(file.Fd())
		if err := unix.SetNonblock(m.fd, true); err != nil {
			return nil, fmt.Errorf("event monitor: %w", err)
		}
	}
	return m, nil
}

type event struct {
	Timestamp struct {
		Secs  int64 `json:"secs"`
		Nanos int   `json:"nanos"`
	} `json:"timestamp"`
	Source     string            `json:"source"`
	Event      string            `json:"event"`
	Properties map[string]string `json:"properties"`
}

func (m *monitor) emit(source, name string, properties map[string]string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return
	}
	e := event{Source: source, Event: name, Properties: properties}
	since := time.Since(m.started)
	e.Timestamp.Secs, e.Timestamp.Nanos = int64(since/time.Second), int(since%time.Second)
	text, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	text = append(text, "\n\n"...)
	// The write is bare: a poller-driven one would wait for the reader.
	for {
		_, err := unix.Write(m.fd, text)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

func (m *monitor) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.file == nil {
		return nil
	}
	err := m.file.Close()
	m.file = nil
	return err
}
