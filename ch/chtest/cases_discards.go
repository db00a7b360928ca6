package chtest

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// testDiscards has a guest give back the middle of a disk, of one that is there from the start and of one that is plugged in:
// the host has the room again, what was there reads as nothing, and what is around it stays.
func testDiscards(t *testing.T, s Server) {
	const size, first, last = 8 << 20, 1 << 20, 7 << 20
	full := bytes.Repeat([]byte("microagent wrote this all over. "), size/32)
	v := s.start(t)
	boot, plugged := v.disk("boot", size), v.disk("plugged", size)
	for _, d := range []string{*boot.Path, *plugged.Path} {
		must(t, os.WriteFile(d, full, 0o600))
	}
	v.boot(v.config(s.Guest, boot))
	_, err := v.client.AddDisk(t.Context(), plugged)
	must(t, err)
	for name, path := range map[string]string{"boot": *boot.Path, "plugged": *plugged.Path} {
		v.askUntil("8388608", "size %s", name)
		before := room(t, path)
		if got := v.ask("discard %s %d %d", name, first, last-first); got != "ok" {
			t.Errorf("discard of %s: %s", name, got)
		}
		if freed := before - room(t, path); freed < last-first {
			t.Errorf("%s: the host has %d bytes again, of %d", name, freed, last-first)
		}
		now, err := os.ReadFile(path)
		must(t, err)
		want := append(append(bytes.Clone(full[:first]), make([]byte, last-first)...), full[last:]...)
		if !bytes.Equal(now, want) {
			t.Errorf("%s holds something else than it did around what was discarded, and nothing there", name)
		}
	}
}

// room is what a file takes of its host's disk, in bytes.
func room(t *testing.T, path string) int64 {
	t.Helper()
	f, err := os.Open(path)
	must(t, err)
	defer f.Close()
	must(t, f.Sync()) // a file system may give blocks only then
	var st unix.Stat_t
	must(t, unix.Fstat(int(f.Fd()), &st))
	return st.Blocks * 512
}
