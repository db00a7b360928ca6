package qemu

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"microagent/ch/api"
)

func TestConnectLine(t *testing.T) {
	for line, want := range map[string]uint32{"CONNECT 7000\nrest": 7000, "connect\t1 \r\n": 1, "CONNECT 4294967295\n": 1<<32 - 1} {
		r := strings.NewReader(line)
		if got, err := readConnect(r); err != nil || got != want {
			t.Errorf("%q: %d, %v", line, got, err)
		}
	}
	for _, line := range []string{"", "\n", "CONNECT\n", "CONNECT x\n", "CONNECT 1 2\n", "CONNECT -1\n", "CONNECT 4294967296\n", "CONNECT 1", strings.Repeat("C", 40)} {
		if got, err := readConnect(strings.NewReader(line)); err == nil {
			t.Errorf("%q: %d", line, got)
		}
	}
}

func FuzzConnectLine(f *testing.F) {
	f.Add([]byte("CONNECT 7000\nrest"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		_, err := readConnect(r)
		used := len(data) - r.Len()
		if used > maxConnectLine || err == nil && data[used-1] != '\n' {
			t.Errorf("%d bytes of %q were read", used, data)
		}
	})
}

func FuzzQMP(f *testing.F) {
	f.Add([]byte(`{"QMP":{}}` + "\r\n" + `{"return":{},"id":"1"}` + "\r\n" + `{"event":"RESET","data":{"guest":true}}` + "\r\n"))
	f.Add([]byte(`{"error":{"class":"GenericError","desc":"x"},"id":"2"}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := decodeQMP(bytes.NewReader(data), func(message) {}); err == nil {
			t.Error("reading ended without a reason")
		}
	})
}

// idle is a VMM that can't start anything.
func idle(t testing.TB) *vmm {
	t.Helper()
	m, err := newMonitor(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &host{binary: "/nowhere/qemu", accel: TCG, spawner: newSpawner(io.Discard), program: programs["amd64"]}
	t.Cleanup(h.spawner.close)
	return &vmm{host: h, monitor: m, log: io.Discard, quit: make(chan int, 1)}
}

// FuzzHandler sends any request. Every answer that is no success is a JSON array of strings or empty.
func FuzzHandler(f *testing.F) {
	f.Add("PUT", "/api/v1/vm.create", []byte(`{"payload":{"kernel":"/x"}}`))
	f.Add("PUT", "/api/v1/vm.add-disk", []byte(`{"path":null}`))
	f.Add("GET", "/api/v1/vm.info", []byte(nil))
	f.Add("PATCH", "/x", []byte("{}"))
	f.Fuzz(func(t *testing.T, method, path string, body []byte) {
		if strings.Contains(string(body), "/") { // no path on this machine is to be opened
			return
		}
		request, err := http.NewRequest(method, "http://localhost/", bytes.NewReader(body))
		if err != nil {
			return
		}
		request.URL.Path = path
		t.Chdir(t.TempDir())
		v := idle(t)
		handler := newHandler(server{v})
		for range 2 { // the second finds what the first left
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, request)
			request.Body = io.NopCloser(bytes.NewReader(body))
			if recorder.Code < 300 {
				continue
			}
			var chain []string
			if text := recorder.Body.Bytes(); len(text) > 0 && json.Unmarshal(text, &chain) != nil {
				t.Errorf("%s %s %q: %d %q", method, path, body, recorder.Code, text)
			}
		}
		v.mu.Lock()
		v.end(0)
		v.mu.Unlock()
	})
}

func TestEveryRouteIsServed(t *testing.T) {
	calls := reflect.TypeFor[api.StrictServerInterface]()
	if calls.NumMethod() != len(routes) {
		t.Errorf("%d routes, %d calls", len(routes), calls.NumMethod())
	}
	for _, name := range foreign {
		recorder := httptest.NewRecorder()
		newHandler(server{idle(t)}).ServeHTTP(recorder, httptest.NewRequest("PUT", basePath+name, strings.NewReader("{}")))
		if recorder.Code != 500 || !strings.Contains(recorder.Body.String(), name) {
			t.Errorf("%s: %d %s", name, recorder.Code, recorder.Body)
		}
	}
}

// TestNothingIsIgnored has configurations with what the adapter can't do: each is refused at boot, by name.
func TestNothingIsIgnored(t *testing.T) {
	for key, value := range map[string]string{
		"net": `[{}]`, "fs": `[{}]`, "balloon": `{"size":1}`, "platform": `{}`, "watchdog": `true`, "landlock_enable": `true`,
		"memory": `{"size":268435456,"hotplug_size":134217728}`, "console": `{"mode":"Tty"}`, "serial": `{"mode":"Pty"}`,
	} {
		v := idle(t)
		handler := newHandler(server{v})
		for i, call := range []struct{ endpoint, body string }{{"vm.create", `{"payload":{"kernel":"/x"},"` + key + `":` + value + `}`}, {"vm.boot", ""}} {
			recorder := httptest.NewRecorder()
			handler.ServeHTTP(recorder, httptest.NewRequest("PUT", basePath+call.endpoint, strings.NewReader(call.body)))
			if i == 0 && recorder.Code != 204 || i == 1 && (recorder.Code != 500 || !strings.Contains(recorder.Body.String(), key)) {
				t.Errorf("%s: %s: %d %s", key, call.endpoint, recorder.Code, recorder.Body)
			}
		}
	}
}

func TestKernelArguments(t *testing.T) {
	if got := kernelArguments("quiet panic=-1", KVM, 1, 5); got != "quiet panic=-1" {
		t.Errorf("KVM: %q", got)
	}
	got := " " + kernelArguments("quiet tsc=unstable", TCG, 2, 2445400) + " "
	for word, want := range map[string]bool{
		" quiet ": true, " no_timer_check ": true, " tsc_early_khz=2445400 ": true, " tsc=unstable ": true, " mitigations=off ": true, " init_on_alloc=0 ": true,
		" tsc=reliable ": false, " nolapic_timer ": false, " noreplace-smp ": false,
	} {
		if strings.Contains(got, word) != want {
			t.Errorf("%q in %q: want %v", word, got, want)
		}
	}
}

func TestPropertiesAreQuoted(t *testing.T) {
	p := properties{{"driver", "x"}, {"serial", "a,b=c"}, {"ro", true}, {"file", properties{{"locking", "off"}, {"n", 3}}}}
	if got := deviceText(p, "addr=1"); got != "x,serial=a,,b=c,ro=on,file.locking=off,file.n=3,addr=1" {
		t.Errorf("got %q", got)
	}
}

func TestDetect(t *testing.T) {
	image := func(at int, magic string) string {
		b := make([]byte, 4096)
		copy(b[at:], magic)
		path := filepath.Join(t.TempDir(), "d")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for want, path := range map[api.ImageType]string{
		api.ImageTypeRaw: image(0, ""), api.ImageTypeQcow2: image(0, "QFI\xfb"), api.ImageTypeVhdx: image(0, "vhdxfile"), api.ImageTypeFixedVhd: image(3584, "conectix"),
	} {
		raw := api.ImageTypeRaw
		d, err := openDisk(diskDefaults(api.DiskConfig{Path: &path, ImageType: &raw}), nil)
		if (want == raw) != (err == nil) {
			t.Errorf("%s: %v", want, err)
		}
		if err == nil {
			d.close()
		}
	}
}

func TestSecondInstanceIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first, done, err := listenAPI(target{path: path, fd: -1})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := listenAPI(target{path: path, fd: -1}); !errors.Is(err, errSocketInUse) {
		t.Errorf("second: %v", err)
	}
	first.Close()
	if err := done(); err != nil {
		t.Fatal(err)
	}
	again, done, err := listenAPI(target{path: path, fd: -1})
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
	if err := done(); err != nil {
		t.Fatal(err)
	}
}

func TestStopwatch(t *testing.T) {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil || !hasCPUFlag(text, "constant_tsc") {
		t.Skip("no constant time stamp counter here")
	}
	one, two := startStopwatch().khz(), startStopwatch().khz()
	if one < 100_000 || one > 10_000_000 || max(one, two)-min(one, two) > one/100 {
		t.Errorf("%d and %d kHz", one, two)
	}
}
