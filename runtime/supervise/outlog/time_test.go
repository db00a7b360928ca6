package outlog

import (
	"bytes"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"microagent/runtime/layout"
	"microagent/runtime/machine/rotate"
)

// decoded are the records in the parts of a log.
func decoded(t *testing.T, dir string) (list []Record) {
	t.Helper()
	path := filepath.Join(dir, layout.OutputLog)
	for _, part := range []string{rotate.Old(path), path} {
		data, err := os.ReadFile(part)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		var d Decoder
		d.Reset(bytes.NewReader(data), true)
		for {
			r, err := d.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, r)
		}
		if d.Used() != int64(len(data)) {
			t.Errorf("%s: %d of %d bytes are records", part, d.Used(), len(data))
		}
	}
	return list
}

// TestTimesGoThroughTurns: each record has the time at which it was written, also in a part that was begun in between.
func TestTimesGoThroughTurns(t *testing.T) {
	dir := t.TempDir()
	l, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	block := strings.Repeat("x", 1<<20)
	var between []time.Time
	for range 20 { // which is more than a part
		between = append(between, time.Now().Truncate(time.Millisecond))
		if _, err := io.WriteString(l.Stdout(), block); err != nil {
			t.Fatal(err)
		}
	}
	between = append(between, time.Now())
	got := decoded(t, dir)
	if _, err := os.Stat(rotate.Old(filepath.Join(dir, layout.OutputLog))); err != nil || len(got) != 20 {
		t.Fatalf("%d records, %v", len(got), err)
	}
	for i, r := range got {
		if r.Time.Before(between[i]) || r.Time.After(between[i+1]) {
			t.Errorf("record %d came at %v, between %v and %v", i, r.Time, between[i], between[i+1])
		}
	}
}

// TestOlderReaders take a log with times for one without: nothing of the times is output to them.
func TestOlderReaders(t *testing.T) {
	data := appendNumber(appendNumber(nil, 1), millis())
	data = append(data, Stdout, 0, 0, 0, 2, 'h', 'i')
	var got []byte
	for rest := data; len(rest) > 0; { // as f365b52 reads: whatever is not 2 is stdout
		n := int(rest[4])
		got = append(got, rest[5:5+n]...)
		rest = rest[5+n:]
	}
	if string(got) != "hi" {
		t.Errorf("%q", got)
	}
}

func TestNumbers(t *testing.T) {
	for _, n := range []uint64{0, 1, 63, 64, 4095, 4096, 1_764_000_000_000, math.MaxUint64} {
		var m marks
		data := appendNumber(nil, n)
		for ; len(data) > 0; data = data[headerSize:] {
			if m.known != 0 {
				t.Fatalf("%d ends too soon", n)
			}
			m.take(data[0])
		}
		if m.known != 1 || m.part != n {
			t.Errorf("%d became %d", n, m.part)
		}
	}
}

// TestClockThatGoesBack: times of a part never do, and a log without numbers has none.
func TestClockThatGoesBack(t *testing.T) {
	dir := t.TempDir()
	l, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	future := time.Now().Add(time.Hour).UnixMilli()
	l.mu.Lock()
	l.at = uint64(future) // as if the clock had been there
	l.mu.Unlock()
	for range 2 {
		if _, err := io.WriteString(l.Stdout(), "x"); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range decoded(t, dir) {
		if r.Time.UnixMilli() != future {
			t.Errorf("%v", r.Time)
		}
	}
	var d Decoder
	d.Reset(bytes.NewReader([]byte{Stderr, 0, 0, 0, 1, 'x'}), true)
	if r, err := d.Next(); err != nil || !r.Time.IsZero() || r.Stream != Stderr {
		t.Errorf("%+v, %v", r, err)
	}
}
