package ch_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"microagent/ch"
)

const booted = "{\n  \"timestamp\": {\n    \"secs\": 2,\n    \"nanos\": 417014690\n  },\n  \"source\": \"vm\",\n  \"event\": \"booted\",\n  \"properties\": null\n}\n\n"
const removed = "{\n  \"timestamp\": {\n    \"secs\": 3,\n    \"nanos\": 1\n  },\n  \"source\": \"vm\",\n  \"event\": \"device-removed\",\n  \"properties\": {\n    \"bdf\": \"0000:00:04.0\",\n    \"id\": \"data\"\n  }\n}\n\n"

func events(t *testing.T, r io.Reader) (list []ch.Event, skipped int) {
	t.Helper()
	d := ch.NewEventDecoder(r)
	for {
		e, err := d.Next()
		if errors.Is(err, io.EOF) {
			return list, d.Skipped
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, e)
	}
}

func TestEventsAcrossDamage(t *testing.T) {
	for name, text := range map[string]string{
		"whole":            booted + removed,
		"torn before":      booted[:60] + booted + removed,
		"torn between":     booted + removed[:70] + "\n" + removed,
		"junk":             "junk\n\x00\x01\n" + booted + "}\n}\n" + removed,
		"tail is torn":     booted + removed + booted[:50],
		"overlong garbage": booted + "{\n" + strings.Repeat("  \"x\": 1,\n", 100_000) + removed,
		"compact":          `{"timestamp":{"secs":0,"nanos":0},"source":"vm","event":"booted","properties":null}` + "\n" + removed,
	} {
		for _, r := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text))} {
			list, skipped := events(t, r)
			if len(list) != 2 || !list[0].Is("vm", "booted") || !list[1].Is("vm", "device-removed") || list[1].Properties["id"] != "data" {
				t.Errorf("%s: %+v", name, list)
			}
			if (skipped > 0) != (name != "whole" && name != "compact") {
				t.Errorf("%s: %d lines skipped", name, skipped)
			}
		}
	}
	list, _ := events(t, strings.NewReader(booted))
	if list[0].Since != 2*time.Second+417014690 {
		t.Errorf("time %v", list[0].Since)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte(booted + removed))
	f.Add([]byte(booted[:40] + removed))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Whatever came before, a whole event after an empty line is read.
		list, _ := events(t, io.MultiReader(bytes.NewReader(data), strings.NewReader("\n\n"+booted)))
		if len(list) == 0 || !list[len(list)-1].Is("vm", "booted") {
			t.Errorf("the last event is lost: %+v", list)
		}
	})
}

func TestOKLine(t *testing.T) {
	for text, want := range map[string]uint32{"OK 1073741824\n": 1 << 30, "OK 7\r\nrest": 7} {
		r := strings.NewReader(text)
		got, err := ch.ReadVsockOK(r)
		if err != nil || got != want {
			t.Errorf("%q: %d, %v", text, got, err)
		}
		if rest, _ := io.ReadAll(r); !strings.HasSuffix(text, "\n"+string(rest)) {
			t.Errorf("%q: %q is left", text, rest)
		}
	}
	for _, text := range []string{"OK\n", "OK x\n", "NO 1\n", "OK 99999999999\n", "OK 1", strings.Repeat("x", 100)} {
		if _, err := ch.ReadVsockOK(strings.NewReader(text)); err == nil || errors.Is(err, ch.ErrVsockRefused) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, err := ch.ReadVsockOK(strings.NewReader("")); !errors.Is(err, ch.ErrVsockRefused) {
		t.Errorf("end at once: %v", err)
	}
}

func FuzzOKLine(f *testing.F) {
	f.Add([]byte("OK 1073741824\nrest"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		if _, err := ch.ReadVsockOK(r); err == nil {
			used := data[:len(data)-r.Len()]
			if !bytes.HasSuffix(used, []byte("\n")) || bytes.Count(used, []byte("\n")) != 1 {
				t.Errorf("%q was taken for the line", used)
			}
		}
	})
}

// TestVsockRetries has a server that first says nothing, then hangs up, then serves, and sends data right behind
// its OK line.
func TestVsockRetries(t *testing.T) {
	path := filepath.Join(t.TempDir(), "v")
	listener, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var asked []string
	over := make(chan struct{})
	go func() {
		defer close(over)
		for n := 1; ; n++ {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			if n == 1 {
				defer c.Close()
				continue
			}
			line := make([]byte, len("CONNECT 7000\n"))
			if n > 2 { // more than one, where the server has no turn within an attempt
				if _, err := io.ReadFull(c, line); err == nil {
					asked = append(asked, string(line))
				}
				_, _ = io.WriteString(c, "OK 1073741824\ndata")
			}
			c.Close()
		}
	}()
	conn, err := ch.VsockDialer{Dial: ch.Unix(path), Attempt: 100 * time.Millisecond, Pause: time.Millisecond}.DialUntil(t.Context(), 7000)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if text, err := io.ReadAll(conn); err != nil || string(text) != "data" {
		t.Errorf("read %q, %v", text, err)
	}
	listener.Close()
	<-over
	if len(asked) == 0 || slices.ContainsFunc(asked, func(line string) bool { return line != "CONNECT 7000\n" }) {
		t.Errorf("it was asked %q", asked)
	}
}
