package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/containerd/log"

	"microagent/runtime/compress"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// pulled gives a store with one image of two layers, from an OCI layout.
func pulled(t *testing.T) (*Store, layout.State, driver.ImageSource, driver.Image) {
	t.Helper()
	dir := t.TempDir()
	b := newBuilder(t)
	b.tag("latest", b.image(runtime.GOARCH, testLayer{small(t, "one"), compress.Gzip}, testLayer{small(t, "two"), compress.Plain}))
	b.write(filepath.Join(dir, "img"))
	s, state := newStore(t)
	src := source(t, dir, "oci:img")
	img, err := s.Pull(t.Context(), src, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, state, src, img
}

func layerPaths(t *testing.T, s *Store, digest string) []string {
	t.Helper()
	m, _, err := s.load(digest)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, d := range m.Layers {
		list = append(list, s.blobs.path(d.Digest.String()))
	}
	return list
}

func damage(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, change(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func flip(at int) func([]byte) []byte {
	return func(data []byte) []byte {
		data = bytes.Clone(data)
		data[at%len(data)] ^= 0x20
		return data
	}
}

func TestCorruptLayerIsRemovedAndFetchedAgain(t *testing.T) {
	for name, change := range map[string]func([]byte) []byte{
		"header": flip(0), "deflate": flip(60), "tail": func(d []byte) []byte { return append(d[:len(d)-1:len(d)-1], d[len(d)-1]^1) },
	} {
		for layer := range 2 {
			t.Run(fmt.Sprintf("%s of layer %d", name, layer), func(t *testing.T) {
				s, _, src, img := pulled(t)
				path := layerPaths(t, s, img.Digest)[layer]
				damage(t, path, change)
				_, err := readAll(t, s, img.Digest)
				if !errors.Is(err, driver.ErrCorrupt) || !strings.Contains(fmt.Sprint(err), "removed from the store") || driver.Next(err) == "" {
					t.Fatalf("read: %v", err)
				}
				if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
					t.Fatalf("the blob is still there: %v", err)
				}
				if _, err := s.Get(t.Context(), img.Digest); !errors.Is(err, driver.ErrNotFound) {
					t.Errorf("Get: %v", err)
				}
				if _, err := s.Pull(t.Context(), src, img.Digest, nil); err != nil {
					t.Fatal(err)
				}
				if _, err := readAll(t, s, img.Digest); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

func TestTornBlobsHeal(t *testing.T) {
	s, _, src, img := pulled(t)
	m, _, err := s.load(img.Digest)
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"manifest": s.blobs.path(img.Digest),
		"config":   s.blobs.path(m.Config.Digest.String()),
		"layer":    s.blobs.path(m.Layers[0].Digest.String()),
	} {
		t.Run(name, func(t *testing.T) {
			damage(t, path, func(d []byte) []byte { return d[:len(d)/2] })
			if _, err := s.Get(t.Context(), img.Digest); !errors.Is(err, driver.ErrCorrupt) {
				t.Errorf("Get: %v", err)
			}
			if _, err := s.Pull(t.Context(), src, img.Digest, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := readAll(t, s, img.Digest); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestLayersOutliveTheirRemoval(t *testing.T) {
	s, state, _, img := pulled(t)
	layers, err := s.Layers(t.Context(), img.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer layers.Close()
	list, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(t.Context(), list[0].Ref); err != nil {
		t.Fatal(err)
	}
	if left := blobFiles(t, state); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	for i := range layers.Len() {
		r, err := layers.Open(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, r); err != nil {
			t.Error(err)
		}
		r.Close()
	}
}

// TestReadingWritesNothing compares every name, size and time below the state directory.
func TestReadingWritesNothing(t *testing.T) {
	s, state, src, img := pulled(t)
	before := snapshot(t, state.Dir)
	if _, err := s.Find(t.Context(), src); err != nil {
		t.Error(err)
	}
	if _, err := s.Find(t.Context(), ref("alpine")); !errors.Is(err, driver.ErrNotFound) {
		t.Error(err)
	}
	if _, err := s.Get(t.Context(), img.Digest); err != nil {
		t.Error(err)
	}
	if _, err := s.List(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := readAll(t, s, img.Digest); err != nil {
		t.Error(err)
	}
	if _, err := s.Pull(t.Context(), src, img.Digest, nil); err != nil {
		t.Error(err)
	}
	if after := snapshot(t, state.Dir); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	empty := layout.State{Dir: filepath.Join(t.TempDir(), "none")}
	none := New(Config{State: empty, ConfigDirs: []string{}})
	if list, err := none.List(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("%v, %v", list, err)
	}
	if found, err := none.Find(t.Context(), src); err != nil || found.Digest != img.Digest || found.From != "file" {
		t.Errorf("%+v, %v", found, err)
	}
	if _, err := os.Stat(empty.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("reading made %s", empty.Dir)
	}
}

func snapshot(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err == nil {
			fmt.Fprintln(&b, p, fi.Size(), fi.Mode(), fi.ModTime().UnixNano())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLeftoversOfADeadWriter(t *testing.T) {
	s, state, src, img := pulled(t)
	dead := filepath.Join(state.Images(), "ingest", "dead")
	tried := filepath.Join(state.Images(), ".fsverity-check-1")
	for _, dir := range []string{dead, tried} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dead, "data"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(layerPaths(t, s, img.Digest)[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Pull(t.Context(), src, "", nil); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dead, tried} {
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there: %v", dir, err)
		}
	}
}

// TestRemoveWhileAnotherWrites: it can't tell for whom it waits, so it does not wait long.
func TestRemoveWhileAnotherWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, state := newStore(t)
		unlock, err := state.Lock(t.Context(), "images", "store", 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unlock()
		if err := s.Remove(t.Context(), "docker.io/library/alpine:3.20"); !errors.Is(err, driver.ErrLocked) || driver.Next(err) == "" {
			t.Errorf("%v, next %q", err, driver.Next(err))
		}
	})
}

func TestOneWriterAtATime(t *testing.T) {
	dir := t.TempDir()
	b := newBuilder(t)
	b.tag("latest", b.image(runtime.GOARCH, testLayer{small(t, "one"), compress.Gzip}))
	b.write(filepath.Join(dir, "img"))
	s, state := newStore(t)
	unlock, err := state.Lock(t.Context(), "images", "store", 0)
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan string, 1)
	done := make(chan error, 1)
	go func() {
		_, err := s.Pull(context.Background(), source(t, dir, "oci:img"), "", func(what string, _, _ int64) {
			select {
			case waits <- what:
			default:
			}
		})
		done <- err
	}()
	if what := <-waits; !strings.Contains(what, "waiting for the image store") || !strings.Contains(what, fmt.Sprint(os.Getpid())) {
		t.Errorf("reported %q", what)
	}
	unlock()
	if err := <-done; err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Pull(ctx, source(t, dir, "oci:img:latest"), "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestIndexFile(t *testing.T) {
	s, state, src, _ := pulled(t)
	for text, class := range map[string]error{"{": driver.ErrCorrupt, `{"format": 99}`: driver.ErrUnsupported} {
		if err := os.WriteFile(filepath.Join(state.Images(), "index.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.List(t.Context())
		if !errors.Is(err, class) || driver.Next(err) == "" {
			t.Errorf("List: %v", err)
		}
		if _, err := s.Pull(t.Context(), src, "", nil); !errors.Is(err, class) {
			t.Errorf("Pull: %v", err)
		}
	}
}

func TestWrongDiffID(t *testing.T) {
	dir := t.TempDir()
	b := newBuilder(t)
	d := b.image(runtime.GOARCH, testLayer{small(t, "one"), compress.Gzip})
	m, err := parseManifest(b.files["blobs/sha256/"+d.Digest.Encoded()])
	if err != nil {
		t.Fatal(err)
	}
	config := b.files["blobs/sha256/"+m.Config.Digest.Encoded()]
	lie := bytes.ReplaceAll(config, []byte(hexOf(small(t, "one"))), []byte(hexOf([]byte("else"))))
	m.Config = b.blob(m.Config.MediaType, lie)
	b.tag("x", b.json(d.MediaType, m.Manifest))
	b.write(filepath.Join(dir, "img"))
	s, _ := newStore(t)
	img, err := s.Pull(t.Context(), source(t, dir, "oci:img"), "", nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = readAll(t, s, img.Digest)
	if !errors.Is(err, driver.ErrCorrupt) || !strings.Contains(fmt.Sprint(err), "built wrong") && !strings.Contains(driver.Next(err), "built wrong") {
		t.Errorf("%v", err)
	}
}

func TestContainerdLogsToUs(t *testing.T) {
	var buf bytes.Buffer
	New(Config{State: layout.State{Dir: t.TempDir()}, Log: slog.New(slog.NewTextHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	log.L.WithField("path", "/x").Warn("careful")
	if !strings.Contains(buf.String(), "msg=careful from=containerd path=/x") {
		t.Errorf("%q", buf.String())
	}
	New(Config{State: layout.State{Dir: t.TempDir()}})
	buf.Reset()
	log.L.Warn("careful")
	if buf.Len() != 0 {
		t.Errorf("%q", buf.String())
	}
}
