package image

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

func TestRegistryErrors(t *testing.T) {
	addr := startRegistry(t, false)
	push(t, addr, "app:1", runtime.GOARCH, "one")
	t.Run("no such tag", func(t *testing.T) {
		_, err := newRemote(t).Head(t.Context(), ref(addr+"/app:2"))
		if !errors.Is(err, driver.ErrNotFound) || driver.Next(err) == "" || !strings.Contains(err.Error(), addr) {
			t.Error(err)
		}
	})
	t.Run("down", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		gone := l.Addr().String()
		l.Close()
		_, err = newRemote(t).Head(t.Context(), ref(gone+"/app:1"))
		if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "registry "+gone+" does not answer") || driver.Next(err) == "" {
			t.Error(err)
		}
	})
}

// What containerd's library would pass over, and go to the registry itself, is told.
func TestHostsFileIsRefused(t *testing.T) {
	for text, want := range map[string]string{
		"server = ":                          "line 1",
		"server = 5":                         "line 1",
		"server = \"https://a%zz\"":          "invalid URL escape",
		"\nsever = \"https://a.example\"":    `line 2: hosts.toml has no key "sever"`,
		"dial_timeout = \"3\"":               "dial_timeout: time: missing unit",
		"ca = 1":                             "ca is neither",
		"client = [[[\"a\"]]]":               "client is neither",
		"[header]\nx-a = [1]":                `header "x-a" is neither`,
		"capabilities = [\"pull\", \"ful\"]": `capability "ful" is none of pull, resolve, push and referrers`,
		"[host.\"https://m.example\"]\ncapabilites = [\"pull\"]": `line 2: hosts.toml has no key "host.https://m.example.capabilites"`,
		"[host.\"https://m.example\"]\ncapabilities = [\"get\"]": `host "https://m.example": capability "get"`,
	} {
		r := newRemote(t)
		r.hosts(t, "docker.io", text)
		_, err := r.Head(t.Context(), ref("alpine"))
		if !errors.Is(err, driver.ErrInvalid) || !strings.Contains(err.Error(), "hosts.toml") || !strings.Contains(err.Error(), want) || driver.Next(err) == "" {
			t.Errorf("%q: %v; want %q", text, err, want)
		}
	}
}

// All that a hosts.toml may have is taken, as containerd's documentation writes it.
func TestHostsFileIsTaken(t *testing.T) {
	for _, text := range []string{
		"", "# nothing yet\n", "server = \"https://registry-1.docker.io\"\n",
		`server = "https://a.example"
capabilities = ["pull", "Resolve", "push", "referrers"]
[host."https://m.example/v2/mirror"]
  capabilities = ["pull"]
  ca = "certs/m.pem"
  client = [["a.cert", "a.key"], ["b.cert", "b.key"]]
  skip_verify = false
  override_path = true
  dial_timeout = "5s"
  [host."https://m.example/v2/mirror".header]
    x-one = "1"
    x-many = ["1", "2"]
[host."http://127.0.0.1:5000"]
  ca = ["a.pem", "/b.pem"]
  client = ["a.cert", "b.cert"]
`,
	} {
		if err := readHosts([]byte(text)); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// proxy stands before a registry and lets a test change its answers.
func proxy(t *testing.T, addr string, change func(w http.ResponseWriter, r *http.Request) (handled bool), edit func(*http.Response) error) string {
	t.Helper()
	p := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: addr})
	p.ModifyResponse = edit
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if change == nil || !change(w, r) {
			p.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

func fastRetries(t *testing.T) {
	old := retries
	retries = []time.Duration{1, 1, 1}
	t.Cleanup(func() { retries = old })
}

func TestTransientErrors(t *testing.T) {
	fastRetries(t)
	addr := startRegistry(t, false)
	want := push(t, addr, "app:1", runtime.GOARCH, "one", "two")
	t.Run("pass", func(t *testing.T) {
		var n atomic.Int32
		via := proxy(t, addr, func(w http.ResponseWriter, r *http.Request) bool {
			if n.Add(1)%3 != 0 {
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			}
			return false
		}, nil)
		if img, err := newRemote(t).Pull(t.Context(), ref(via+"/app:1"), "", nil); err != nil || img.Digest != want {
			t.Errorf("%+v, %v", img, err)
		}
	})
	t.Run("stay", func(t *testing.T) {
		via := proxy(t, addr, func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}, nil)
		_, err := newRemote(t).Pull(t.Context(), ref(via+"/app:1"), "", nil)
		if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), via) {
			t.Error(err)
		}
	})
	t.Run("too many requests", func(t *testing.T) {
		var n atomic.Int32
		via := proxy(t, addr, func(w http.ResponseWriter, r *http.Request) bool {
			n.Add(1)
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}, nil)
		_, err := newRemote(t).Pull(t.Context(), ref(via+"/app:1"), "", nil)
		if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(fmt.Sprint(err), via+" has had too many requests") ||
			!strings.Contains(fmt.Sprint(err), "asked again in 1h0m0s") || n.Load() != 1 {
			t.Errorf("after %d requests: %v", n.Load(), err)
		}
	})
	t.Run("cut off in the middle", func(t *testing.T) {
		var cuts atomic.Int32
		via := proxy(t, addr, nil, func(resp *http.Response) error {
			if strings.Contains(resp.Request.URL.Path, "/blobs/") && resp.Request.Method == http.MethodGet && cuts.Add(1)%2 == 1 {
				resp.Body = io.NopCloser(io.LimitReader(resp.Body, 20))
			}
			return nil
		})
		if img, err := newRemote(t).Pull(t.Context(), ref(via+"/app:1"), "", nil); err != nil || img.Digest != want {
			t.Errorf("%+v, %v", img, err)
		}
		if cuts.Load() < 3 {
			t.Errorf("only %d answers were cut", cuts.Load())
		}
	})
}

func TestWrongBytesFromRegistry(t *testing.T) {
	addr := startRegistry(t, false)
	push(t, addr, "app:1", runtime.GOARCH, "one")
	via := proxy(t, addr, nil, func(resp *http.Response) error {
		if strings.Contains(resp.Request.URL.Path, "/blobs/") && resp.Request.Method == http.MethodGet {
			data, err := io.ReadAll(resp.Body)
			if err != nil {
				return err
			}
			data[len(data)/2] ^= 1
			resp.Body = io.NopCloser(strings.NewReader(string(data)))
		}
		return nil
	})
	r := newRemote(t)
	_, err := r.Pull(t.Context(), ref(via+"/app:1"), "", nil)
	if !errors.Is(err, driver.ErrCorrupt) || driver.Next(err) == "" {
		t.Errorf("%v", err)
	}
	if left := blobFiles(t, r.state); len(left) != 0 {
		t.Errorf("left in the store: %v", left)
	}
}

// blobFiles lists the files below blobs and ingest.
func blobFiles(t *testing.T, state layout.State) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(state.Images(), func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && filepath.Base(p) != "index.json" {
			list = append(list, p)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return list
}
