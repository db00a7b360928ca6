package volume

import (
	"strings"
	"testing"

	"microagent/runtime/driver"
)

// TestUsageAndTrim: what is deleted is free, and the host has it back after a trim, which changes no file.
func TestUsageAndTrim(t *testing.T) {
	s := ours(t)
	v := withFile(t, s, "data", "hello")
	empty, err := s.Usage(t.Context(), "data")
	if err != nil {
		t.Fatal(err)
	}
	const size = 4 << 20
	put(t, v.Path, "big", strings.Repeat("x", size))
	full, err := s.Usage(t.Context(), "data")
	if err != nil || full.Used < empty.Used+size || full.Used+full.Free != empty.Used+empty.Free || full.Files != empty.Files+1 {
		t.Errorf("%+v became %+v, %v", empty, full, err)
	}
	debugfs(t, v.Path, "rm big")
	freed, err := s.Trim(t.Context(), "data")
	if err != nil || freed < size {
		t.Errorf("%d bytes were given back, %v", freed, err)
	}
	after, err := s.Usage(t.Context(), "data")
	if err != nil || after.Used != empty.Used || after.Allocated > full.Allocated-size || after.Live {
		t.Errorf("%+v, %v", after, err)
	}
	fsck(t, v.Path)
	if c := fileOf(t, v.Path, "file"); c != "hello" {
		t.Errorf("it holds %q", c)
	}
	if _, err := s.Snapshot(t.Context(), "data", "one", driver.MadeByHand); err != nil {
		t.Fatal(err)
	}
	release := attach(t, s, "data", "db")
	defer release()
	live, err := s.Usage(t.Context(), "data")
	if err != nil || !live.Live || live.Used != after.Used || live.Snapshots != 1 || live.SnapshotBytes == 0 {
		t.Errorf("in use: %+v, %v", live, err)
	}
	if _, err := s.Trim(t.Context(), "data"); driver.Next(err) != "microagent halt db" {
		t.Errorf("trim in use: %v", err)
	}
}
