package image

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"microagent/runtime/driver"
)

// behind is a store that asks mirror, and then the registry at addr, for reg.example.
func behind(t *testing.T, mirror, addr string) *remote {
	r := newRemote(t)
	r.hosts(t, "reg.example", fmt.Sprintf("server = %q\n[host.%q]\ncapabilities = [\"pull\", \"resolve\"]\n", "http://"+addr, "http://"+mirror))
	return r
}

// nobody is an address that refuses connections.
func nobody(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// The registry's answer is the registry's, and a mirror's failure its mirror's, whatever either of them is.
func TestMirrorsAndTheirRegistry(t *testing.T) {
	fastRetries(t)
	addr := startRegistry(t, false)
	want := push(t, addr, "app:1", runtime.GOARCH, "one", "two")
	answering := func(status int, kind string) string {
		return proxy(t, addr, func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Type", kind)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "<html>log in</html>")
			return true
		}, nil)
	}
	for name, c := range map[string]struct {
		mirror string
		says   string
	}{
		"500":        {answering(500, "text/plain"), "500 Internal Server Error"},
		"403":        {answering(403, "text/plain"), "403 Forbidden"},
		"429":        {answering(429, "text/plain"), "429 Too Many Requests"},
		"login page": {answering(200, "text/html; charset=utf-8"), "web page"},
		"down":       {nobody(t), "connection refused"},
		"lacks it":   {answering(404, "text/plain"), "404 Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			if img, err := behind(t, c.mirror, addr).Pull(t.Context(), ref("reg.example/app:1"), "", nil); err != nil || img.Digest != want {
				t.Errorf("what the registry has: %+v, %v", img, err)
			}
			_, err := behind(t, c.mirror, addr).Pull(t.Context(), ref("reg.example/app:2"), "", nil)
			if !errors.Is(err, driver.ErrNotFound) || !strings.Contains(err.Error(), "registry reg.example has no such image; its mirror "+c.mirror+": ") ||
				!strings.Contains(err.Error(), c.says) || driver.Next(err) != "correct the name or the tag" {
				t.Errorf("what it has not: %v; next: %s", err, driver.Next(err))
			}
			_, err = behind(t, c.mirror, nobody(t)).Pull(t.Context(), ref("reg.example/app:1"), "", nil)
			if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "registry reg.example does not answer") ||
				!strings.Contains(err.Error(), c.mirror) || !strings.Contains(err.Error(), c.says) || !strings.Contains(driver.Next(err), "its mirrors") {
				t.Errorf("from a registry that is down: %v; next: %s", err, driver.Next(err))
			}
		})
	}
}

// What a mirror has other bytes of comes from the registry.
func TestMirrorWithOtherBytes(t *testing.T) {
	fastRetries(t)
	addr := startRegistry(t, false)
	want := push(t, addr, "app:1", runtime.GOARCH, "one", "two")
	for _, kind := range []string{"blobs", "manifests"} {
		t.Run(kind, func(t *testing.T) {
			var wrong atomic.Int32
			mirror := proxy(t, addr, nil, func(resp *http.Response) error {
				if path.Base(path.Dir(resp.Request.URL.Path)) == kind && resp.Request.Method == http.MethodGet {
					data, err := io.ReadAll(resp.Body)
					if err != nil {
						return err
					}
					data[len(data)/2] ^= 1
					resp.Body = io.NopCloser(strings.NewReader(string(data)))
					wrong.Add(1)
				}
				return nil
			})
			img, err := behind(t, mirror, addr).Pull(t.Context(), ref("reg.example/app:1"), "", nil)
			if err != nil || img.Digest != want || wrong.Load() == 0 {
				t.Errorf("%+v, %v, %d wrong answers", img, err, wrong.Load())
			}
			_, err = behind(t, mirror, nobody(t)).Pull(t.Context(), ref("reg.example/app:1"), "", nil)
			if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), mirror+": it gave other bytes") {
				t.Errorf("where only the mirror answers: %v", err)
			}
		})
	}
}

// A web page in the place of a manifest is what it is called.
func TestPageInThePlaceOfAManifest(t *testing.T) {
	via := proxy(t, "127.0.0.1:1", func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, "<html>log in</html>")
		return true
	}, nil)
	_, err := newRemote(t).Pull(t.Context(), ref(via+"/app:1"), "", nil)
	if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "web page") {
		t.Error(err)
	}
}
