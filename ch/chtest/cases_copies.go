package chtest

import (
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microagent/ch"
)

// testCopies makes two guests of one that was saved without disks, one after the other, and plugs disks into each.
func testCopies(t *testing.T, s Server) {
	v := s.start(t)
	adapter := ch.IsAdapter(v.ping)
	config := v.config(s.Guest)
	config.Memory.Shared = new(adapter) // there it lies in a file then, which copies share
	v.boot(config)
	if adapter {
		v.await("virtio-device", "greeted", 1) // and nobody has answered it
	} else {
		v.ask("boot-id")
	}
	must(t, v.client.Pause(t.Context()))
	must(t, os.Mkdir(v.path("saved"), 0o700))
	must(t, v.client.Snapshot(t.Context(), "file://"+v.path("saved")))
	before := digests(t, v.path("saved"))
	must(t, v.client.Resume(t.Context())) // what was saved goes on
	v.ask("boot-id")
	must(t, v.client.Delete(t.Context()))

	for _, name := range []string{"a", "b"} {
		must(t, v.client.Restore(t.Context(), ch.RestoreConfig{SourceUrl: "file://" + v.path("saved")}))
		if v.state() != ch.Paused {
			t.Errorf("state %s after restore", v.state())
		}
		sizes := map[string]string{name + "0": "1048576", name + "1": "2097152", name + "2": "3145728"}
		for i, disk := range []string{name + "0", name + "1", name + "2"} {
			_, err := v.client.AddDisk(t.Context(), v.disk(disk, int64(i+1)<<20))
			must(t, err)
		}
		must(t, v.client.Resume(t.Context()))
		for disk, size := range sizes {
			v.askUntil(size, "size %s", disk)
		}
		if got := v.ask("write %s0 of-%s", name, name); got != "ok" {
			t.Errorf("write: %q", got)
		}
		boot := v.ask("boot-id")
		v.ask("reboot")
		v.await("vm", "rebooted", map[string]int{"a": 1, "b": 2}[name])
		if again := v.ask("boot-id"); again == boot {
			t.Errorf("boot %q before and after a reboot", again)
		}
		for disk, size := range sizes {
			v.askUntil(size, "size %s", disk)
		}
		if got := v.ask("read %s0", name); !strings.HasPrefix(got, "of-"+name) {
			t.Errorf("after a reboot the disk holds %q", got)
		}
		must(t, v.client.Delete(t.Context()))
	}
	if after := digests(t, v.path("saved")); after != before {
		t.Error("copies have changed what they were made of")
	}
	if !adapter {
		return
	}
	state, err := os.ReadFile(filepath.Join(v.path("saved"), "state.json"))
	must(t, err)
	host, _, _ := strings.Cut(string(state[strings.Index(string(state), `"host":"`)+8:]), `"`)
	must(t, os.WriteFile(filepath.Join(v.path("saved"), "state.json"), []byte(strings.Replace(string(state), host, "another", 1)), 0o600))
	err = v.client.Restore(t.Context(), ch.RestoreConfig{SourceUrl: "file://" + v.path("saved")})
	chainEnds(t, err, 500, "Cannot restore VM", "it was saved on a host with another CPU")
	if _, err := v.client.Info(t.Context()); !ch.IsNotCreated(err) {
		t.Errorf("a copy that was refused left %v", err)
	}
}

// digests is one of all files of a folder.
func digests(t *testing.T, dir string) string {
	t.Helper()
	h := sha256.New()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	must(t, err)
	for _, name := range files {
		f, err := os.Open(name)
		must(t, err)
		_, err = io.Copy(h, f)
		f.Close()
		must(t, err)
	}
	return string(h.Sum(nil))
}
