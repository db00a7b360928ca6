package outlog

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/layout"
)

func TestOutputKeepsOrderAcrossTurns(t *testing.T) {
	dir := t.TempDir()
	l, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	type piece struct {
		stream byte
		text   string
	}
	var got []piece
	first := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- l.Follow(t.Context(), func(stream byte, data []byte) error {
			if len(got) == 0 {
				close(first)
			}
			got = append(got, piece{stream, string(data)})
			return nil
		})
	}()
	var want []piece
	block := strings.Repeat("x", 1<<20)
	for i := range 40 { // more than two turns of the log
		text := fmt.Sprintf("%d%s", i, block)
		w, stream := l.Stdout(), byte(1)
		if i%3 == 0 {
			w, stream = l.Stderr(), 2
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Fatal(err)
		}
		want = append(want, piece{stream, text})
		if i == 0 {
			<-first
		}
	}
	l.End()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	// A follower that is too slow may miss some; what it has is in order and ends with the newest.
	if len(got) < 16 || got[len(got)-1] != want[39] {
		t.Fatalf("followed %d records", len(got))
	}
	at := -1
	for _, p := range got {
		i := at + 1
		for i < len(want) && want[i] != p {
			i++
		}
		if i == len(want) {
			t.Fatalf("record %.20q of stream %d is out of order", p.text, p.stream)
		}
		at = i
	}
	var total int64
	entries, err := filepath.Glob(filepath.Join(dir, layout.OutputLog+"*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range entries {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Size()
	}
	if total > 2*outputLimit {
		t.Errorf("the log has %d bytes", total)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x02hi\x02\x00\x00\x00\x00"))
	f.Add([]byte("\x01\xff\xff\xff\xffhi"))
	f.Add(append(appendNumber(appendNumber(appendNumber(nil, 1), millis()), 5), "\x01\x00\x00\x00\x02hi"...))
	f.Fuzz(func(t *testing.T, data []byte) {
		total := 0
		err := Read(bytes.NewReader(data), func(_ byte, p []byte) error {
			total += headerSize + len(p)
			return nil
		})
		if total > len(data) {
			t.Errorf("%d bytes out of %d, %v", total, len(data), err)
		}
	})
}

// TestDecoderKeepsItsBuffer: who follows a log resets it with each write of the process.
func TestDecoderKeepsItsBuffer(t *testing.T) {
	var d Decoder
	r := bytes.NewReader(nil)
	d.Reset(r, true)
	if n := testing.AllocsPerRun(100, func() { d.Reset(r, false) }); n != 0 {
		t.Errorf("%v allocations for each stretch of a log", n)
	}
}
