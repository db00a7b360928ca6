package cli

import (
	"strings"
	"testing"
)

// An image without a record is told from a volume, with the way to make it one.
func TestVolumeWithoutARecord(t *testing.T) {
	b := newBench(t)
	b.volumes.Orphan("stray", 8<<20)
	const advice = "microagent volume adopt stray\n"
	if s := b.run("volume", "list"); s.code != 0 || s.out != "NAME SIZE-MIB ATTACHED\nstray 8 -\n" || !strings.HasSuffix(s.stderr, "without a record: "+advice) {
		t.Errorf("list: %+v", s)
	}
	if s := b.run("volume", "status", "stray"); s.code != 0 || !strings.Contains(s.out, "Created: -\n") || !strings.HasSuffix(s.out, "Record: none; to make one: "+advice) {
		t.Errorf("status: %+v", s)
	}
}
