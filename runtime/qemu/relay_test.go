package qemu

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
)

// sizes remembers how much was written at once.
type sizes struct {
	bytes.Buffer
	most int
}

func (s *sizes) Write(p []byte) (int, error) {
	s.most = max(s.most, len(p))
	return s.Buffer.Write(p)
}

func TestRelayTakesMoreWhereMoreWaits(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789"), 50_000)
	for name, c := range map[string]struct {
		from io.Reader
		most int
	}{
		"much":   {bytes.NewReader(want), mostRelay},
		"little": {iotest.OneByteReader(bytes.NewReader(want)), 1},
	} {
		var to sizes
		if err := relay(&to, struct{ io.Reader }{c.from}); err != nil || !bytes.Equal(to.Bytes(), want) || to.most != c.most {
			t.Errorf("%s: %v, %d bytes, %d at once", name, err, to.Len(), to.most)
		}
	}
	failed := errors.New("failed")
	if err := relay(io.Discard, iotest.ErrReader(failed)); err != failed {
		t.Error(err)
	}
	r, w := io.Pipe()
	r.CloseWithError(failed)
	if err := relay(w, bytes.NewReader(want)); err != failed {
		t.Error(err)
	}
}
