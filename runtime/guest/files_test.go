package guest_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
)

// lines is a writer whose content can be waited for.
type lines struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	more chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.buf.Write(p)
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return len(p), nil
}

func (l *lines) wait(t *testing.T, text string) {
	t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		l.mu.Lock()
		got := l.buf.String()
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		if strings.Contains(got, text) {
			return
		}
		select {
		case <-more:
		case <-timeout:
			t.Fatalf("no %q in %q", text, got)
		}
	}
}

// failing takes a number of bytes and then no more.
type failing struct{ after int }

func (f *failing) Write(p []byte) (int, error) {
	if f.after -= len(p); f.after < 0 {
		return 0, errors.New("full")
	}
	return len(p), nil
}

// gate blocks writes until it is open.
type gate struct {
	open chan struct{}
	n    int
}

func (g *gate) Write(p []byte) (int, error) {
	<-g.open
	g.n += len(p)
	return len(p), nil
}

func testFiles(t *testing.T, s *proto.Session) {
	var in bytes.Buffer
	w := tar.NewWriter(&in)
	when := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, e := range []struct {
		h    tar.Header
		data string
	}{
		{tar.Header{Name: "tree/", Typeflag: tar.TypeDir, Mode: 0o711, Uid: 1000, Gid: 44, ModTime: when}, ""},
		{tar.Header{Name: "tree/a b\n'ü", Typeflag: tar.TypeReg, Mode: 0o4640, Uid: 1000, Gid: 1001, ModTime: when}, "content"},
		{tar.Header{Name: "tree/link", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, ""},
	} {
		e.h.Size = int64(len(e.data))
		if err := w.WriteHeader(&e.h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.data); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	if err := s.Put(t.Context(), "/work/deep", &in); err != nil {
		t.Fatal(err)
	}
	info, err := s.Stat(t.Context(), "/work/deep/tree/a b\n'ü", false)
	if err != nil || info.Size != 7 || info.UID != 1000 || info.GID != 1001 || !info.ModTime.Equal(when) || info.Mode.String() != "urw-r-----" {
		t.Errorf("stat: %+v %s, %v", info, info.Mode, err)
	}
	if info, err := s.Stat(t.Context(), "/work/deep/tree/link", false); err != nil || info.Target != "/etc/passwd" {
		t.Errorf("stat of a symlink: %+v, %v", info, err)
	}
	if _, err := s.Stat(t.Context(), "/nope", true); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("stat of nothing: %v", err)
	}
	got := fetch(t, s, "/work/deep", 0)
	want := "./ 755 \ntree/ 711 \ntree/a b\n'ü 4640 content\ntree/link 777 /etc/passwd\n"
	if got != want {
		t.Errorf("fetched %q\nwant %q", got, want)
	}
	if got := fetch(t, s, "/work/deep/tree/a b\n'ü", 0); got != ". 4640 content\n" {
		t.Errorf("fetched one file: %q", got)
	}
	r, err := s.Fetch(t.Context(), "/bin/busybox", 1000, "")
	if err == nil {
		_, err = io.ReadAll(r)
		r.Close()
	}
	if ge, ok := errors.AsType[*proto.GuestError](err); !ok || ge.Code != proto.CodeTooLarge {
		t.Errorf("fetch beyond the limit: %v", err)
	}
	if _, err := s.Fetch(t.Context(), "/nope", 0, ""); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("fetch of nothing: %v", err)
	}
	broken := io.MultiReader(bytes.NewReader(make([]byte, 100)), errorReader{})
	if err := s.Put(t.Context(), "/work/deep", broken); !errors.Is(err, errBroken) {
		t.Errorf("put of a source that breaks: %v", err)
	}
	if err := s.Put(t.Context(), "/data/config/x", &in); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("put on a read-only disk: %v", err)
	}
	log, err := s.Log(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	line := make([]byte, 15)
	if _, err := io.ReadFull(log, line); err != nil || string(line) != "microagent-init" {
		t.Errorf("log: %q, %v", line, err)
	}
}

var errBroken = errors.New("broken")

type errorReader struct{}

func (errorReader) Read([]byte) (int, error) { return 0, errBroken }

// fetch lists what came: name, mode, content or target.
func fetch(t *testing.T, s *proto.Session, path string, limit int64) string {
	t.Helper()
	r, err := s.Fetch(t.Context(), path, limit, "")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var list strings.Builder
	in := tar.NewReader(r)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&list, "%s %o %s%s\n", h.Name, h.Mode, data, h.Linkname)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatalf("the stream's end: %v", err)
	}
	return list.String()
}
