package proto

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/frame"
	"microagent/runtime/guest/proto/wire"
)

func TestFramesBringEveryByteAndTheEnd(t *testing.T) {
	for _, size := range []int{0, 1, MaxFrame - frame.PrefixSize, MaxFrame, 3*MaxFrame + 7} {
		want := bytes.Repeat([]byte{'x'}, size)
		var buf bytes.Buffer
		w := newFrameWriter(&buf)
		if n, err := w.Write(want); n != size || err != nil {
			t.Fatalf("write %d: %d, %v", size, n, err)
		}
		var inPlace bytes.Buffer
		if err := newFrameWriter(&inPlace).writeInPlace(append(make([]byte, frame.PrefixSize), want...)); err != nil {
			t.Fatalf("write %d in place: %v", size, err)
		}
		if !bytes.Equal(inPlace.Bytes(), buf.Bytes()) {
			t.Errorf("%d bytes in place are other frames", size)
		}
		if err := w.frame(frameEnd, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("late")); !errors.Is(err, errEnded) {
			t.Errorf("write after the end: %v", err)
		}
		whole := buf.Bytes()
		got, err := io.ReadAll(newFrameReader(bytes.NewReader(whole)))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("read %d: %d bytes, %v", size, len(got), err)
		}
		for _, cut := range []int{1, frame.PrefixSize, frame.PrefixSize + 1, len(whole) / 2} {
			if cut > len(whole) {
				continue
			}
			if _, err := io.ReadAll(newFrameReader(bytes.NewReader(whole[:len(whole)-cut]))); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%d bytes, the last %d cut off: %v", size, cut, err)
			}
		}
	}
}

func TestFramesOfABadPeer(t *testing.T) {
	for name, in := range map[string]string{
		"too large":        "D\xff\xff\xff\xff",
		"unknown type":     "Z\x00\x00\x00\x00",
		"header again":     "H\x00\x00\x00\x00",
		"end with content": "E\x00\x00\x00\x01x",
		"garbled error":    "X\x00\x00\x00\x02\xff\xff",
	} {
		_, err := io.ReadAll(newFrameReader(strings.NewReader(in)))
		if _, ok := errors.AsType[*FrameError](err); !ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestStreamFailureCarriesItsCode(t *testing.T) {
	a, b := net.Pipe()
	go func() {
		_ = newStream(a).Fail(Errorf(CodeNotFound, "no such file"))
		a.Close()
	}()
	_, err := io.ReadAll(newStream(b))
	if !errors.Is(err, driver.ErrNotFound) || err.Error() != "no such file" {
		t.Errorf("got %v", err)
	}
}

func TestAcceptTakesAHeader(t *testing.T) {
	a, b := net.Pipe()
	opened := make(chan error, 1)
	go func() {
		st, err := open(t.Context(), func(context.Context, uint32) (net.Conn, error) { return a, nil },
			&wire.StreamHeader{Kind: "stdout", ExecId: "p1"})
		if err == nil {
			_, err = io.ReadAll(st)
		}
		opened <- err
	}()
	h, st, err := Accept(b, time.Minute)
	if err != nil || h.GetKind() != "stdout" || h.GetExecId() != "p1" {
		t.Fatalf("%v, %v", h, err)
	}
	if err := errors.Join(st.Ok(), st.CloseWrite()); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestErrorsOfCallsHaveClasses(t *testing.T) {
	for code, class := range map[Code]error{
		CodeNotFound: driver.ErrNotFound, CodeExists: driver.ErrExists, CodeInvalid: driver.ErrInvalid,
		CodeUnsupported: driver.ErrUnsupported, CodeTooLarge: driver.ErrNoSpace, CodeRefused: driver.ErrRefused,
		CodeNoSpace: driver.ErrNoSpace, CodeFailed: driver.ErrGuest, "new in a later version": driver.ErrGuest,
	} {
		err := callError("ask", Errorf(code, "why").GRPCStatus().Err())
		if !errors.Is(err, class) || err.Error() != "ask: why" {
			t.Errorf("%s: %v", code, err)
		}
	}
	if err := callError("ask", io.ErrUnexpectedEOF); !errors.Is(err, driver.ErrUnavailable) {
		t.Errorf("a broken connection: %v", err)
	}
	if err := callError("ask", context.DeadlineExceeded); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a deadline: %v", err)
	}
	if got := cut(strings.Repeat("é", MaxText)); len(got) > MaxText+4 {
		t.Errorf("a long text stays %d bytes", len(got))
	}
}

func FuzzFrames(f *testing.F) {
	f.Add([]byte("D\x00\x00\x00\x02hiE\x00\x00\x00\x00"))
	f.Add([]byte("X\x00\x00\x00\x04\x0a\x02hi"))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := io.ReadAll(newFrameReader(bytes.NewReader(in)))
		if len(got) > len(in) {
			t.Fatalf("%d bytes out of %d", len(got), len(in))
		}
		if err == nil && !bytes.Contains(in, []byte("E\x00\x00\x00\x00")) {
			t.Fatal("an end without an end frame")
		}
	})
}

func FuzzHeader(f *testing.F) {
	var buf bytes.Buffer
	w := newFrameWriter(&buf)
	if err := w.message(frameHeader, &wire.StreamHeader{Kind: KindFetch, Path: "/x", Limit: 7}); err != nil {
		f.Fatal(err)
	}
	f.Add(buf.Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		h, err := newFrameReader(bytes.NewReader(in)).header()
		if (h == nil) == (err == nil) {
			t.Fatalf("%v and %v", h, err)
		}
	})
}
