package agent

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestBeforeTheInstant(t *testing.T) {
	start := instant{wall: 1000 * time.Second, steady: 10 * time.Second}
	later := instant{wall: 1060 * time.Second, steady: 70 * time.Second}
	back := instant{wall: 560 * time.Second, steady: 70 * time.Second} // set back by 500 s
	ahead := instant{wall: 1560 * time.Second, steady: 70 * time.Second}
	for _, c := range []struct {
		ctime time.Duration
		today instant
		want  bool
	}{
		{999 * time.Second, later, true},
		{1000 * time.Second, later, false}, // the clock that stamps is coarse: the same tick may be after
		{1001 * time.Second, later, false},
		{510 * time.Second, back, false}, // written after the clock was set back
		{499 * time.Second, back, true},
		{999 * time.Second, ahead, true},
	} {
		if got := start.before(c.ctime, c.today); got != c.want {
			t.Errorf("ctime %v at %v: before is %v", c.ctime, c.today.wall, got)
		}
	}
}

// The kernel's stamps and ours are of one clock: a file that is written after the instant is never before it.
func TestInstantIsTheFileSystemsClock(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	for range 200 {
		start := now()
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		info, err := os.Lstat(name)
		if err != nil {
			t.Fatal(err)
		}
		if start.before(ctimeOf(info), now()) {
			t.Fatal("what was written after the instant counts as before it")
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}
