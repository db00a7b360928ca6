package image

import (
	"io"
	"sync"

	"microagent/runtime/driver"
)

// meter reports the sum of what several readers read, one call at a time.
type meter struct {
	what   string
	total  int64
	report driver.Progress

	mu   sync.Mutex
	done int64
}

func (m *meter) wrap(r io.Reader) io.Reader { return &meterReader{m: m, r: r} }

func (m *meter) add(n int64) {
	if m.report == nil || n == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	m.report("pull "+m.what, m.done, m.total)
}

type meterReader struct {
	m *meter
	r io.Reader
}

func (r *meterReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.m.add(int64(n))
	return n, err
}
