package attach

import (
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/lease"
)

// madeDisk is what mke2fs makes with these features, and what debugfs then does to it.
func madeDisk(t *testing.T, features, request string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk")
	commands := [][]string{{"mke2fs", "-q", "-t", "ext4", "-O", features, path, "16M"}}
	if request != "" {
		commands = append(commands, []string{"debugfs", "-w", "-R", request, path})
	}
	for _, c := range commands {
		if said, err := exec.Command(c[0], c[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", c, err, said)
		}
	}
	return path
}

// A journal that is elsewhere, and what is no more than a journal, is named at attach.
func TestJournalsAtAttach(t *testing.T) {
	journal := filepath.Join(t.TempDir(), "journal")
	if said, err := exec.Command("mke2fs", "-q", "-F", "-O", "journal_dev", "-b", "4096", journal, "4M").CombinedOutput(); err != nil {
		t.Fatalf("mke2fs: %v: %s", err, said)
	}
	for text, c := range map[string]struct {
		disk  string
		class error
	}{
		"is the journal of another file system": {journal, driver.ErrInvalid},
		"lies on another device":                {madeDisk(t, "^has_journal,^metadata_csum", "feature has_journal"), driver.ErrUnsupported},
	} {
		l, err := target.At(c.disk).Claim(lease.Shared)
		if err != nil {
			t.Fatal(err)
		}
		err = checkFileSystem(driver.Mount{Kind: driver.MountDisk, Name: "d", Source: c.disk}, l, false)
		l.Close()
		if !errors.Is(err, c.class) || !strings.Contains(err.Error(), text) || !strings.Contains(driver.Next(err), "tune2fs -f -O ^has_journal") {
			t.Errorf("%v; next: %s", err, driver.Next(err))
		}
	}
}

// What the kernel would mount read-only without a word is refused where it is to be written; a crashed disk whose fast
// commits e2fsck would lose is not sent to e2fsck -p.
func TestFeaturesAtAttach(t *testing.T) {
	const made = "^metadata_csum,fast_commit"
	for name, c := range map[string]struct {
		disk     string
		readOnly bool
		text     string // "" where it is taken
		next     string
		never    string
	}{
		"read-only, writable":  {madeDisk(t, "^metadata_csum", "feature read-only"), false, "has the feature read-only", "read-only", "e2fsck"},
		"read-only, read-only": {madeDisk(t, "^metadata_csum", "feature read-only"), true, "", "", ""},
		"crashed":              {madeDisk(t, "^metadata_csum", "feature needs_recovery"), true, "its journal was not written back", "e2fsck -p", "writable"},
		"fast commit":          {madeDisk(t, made, "feature needs_recovery"), true, "its journal was not written back", "mount it writable once", "e2fsck -p"},
		"fast commit, written": {madeDisk(t, made, "feature needs_recovery"), false, "", "", ""},
	} {
		l, err := target.At(c.disk).Claim(lease.Shared)
		if err != nil {
			t.Fatal(err)
		}
		err = checkFileSystem(driver.Mount{Kind: driver.MountDisk, Name: "d", Source: c.disk}, l, c.readOnly)
		l.Close()
		if c.text == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if !errors.Is(err, driver.ErrRefused) || !strings.Contains(err.Error(), c.text) || !strings.Contains(driver.Next(err), c.next) || strings.Contains(driver.Next(err), c.never) {
			t.Errorf("%s: %v; next: %s", name, err, driver.Next(err))
		}
	}
}
