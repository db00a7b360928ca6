package kernel

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestPruneLeavesWhatIsBooted: what this program boots stays, what other versions of the guest's program left goes, and nothing
// else is touched.
func TestPruneLeavesWhatIsBooted(t *testing.T) {
	s := newStore(t)
	if _, err := s.install(t.Context(), fakeParts("6.1.0-9-cloud-amd64"), nil); err != nil {
		t.Fatal(err)
	}
	older := New(s.state, s.arch, func(string) ([]byte, error) { return []byte("an older guest binary"), nil })
	old, err := older.Boot("", Adapter, 1)
	if err != nil {
		t.Fatal(err)
	}
	now, err := s.Boot("", Adapter, 1)
	if err != nil {
		t.Fatal(err)
	}
	user := filepath.Join(filepath.Dir(now.Initramfs), "notes.cpio")
	if err := os.WriteFile(user, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dry := range []bool{true, false} {
		freed, removed, err := s.Prune(dry)
		if err != nil || freed <= 0 || !slices.Equal(removed, []string{old.Initramfs}) {
			t.Errorf("dry %v: %d, %v, %v", dry, freed, removed, err)
		}
		_, err = os.Stat(old.Initramfs)
		if gone := err != nil; gone == dry {
			t.Errorf("dry %v: the old one is gone: %v", dry, gone)
		}
	}
	for _, path := range []string{now.Initramfs, now.Kernel, user} {
		if _, err := os.Stat(path); err != nil {
			t.Error(err)
		}
	}
	if freed, removed, err := s.Prune(false); err != nil || freed != 0 || len(removed) != 0 {
		t.Errorf("once more: %d, %v, %v", freed, removed, err)
	}
	if freed, removed, err := newStore(t).Prune(false); err != nil || freed != 0 || len(removed) != 0 {
		t.Errorf("no kernel: %d, %v, %v", freed, removed, err)
	}
}
