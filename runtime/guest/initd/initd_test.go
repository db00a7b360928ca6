package initd

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
)

func superblockBytes() []byte {
	b := make([]byte, 1024)
	le := binary.LittleEndian
	le.PutUint16(b[0x38:], 0xEF53)
	le.PutUint32(b[0x4:], 1000)
	le.PutUint32(b[0x18:], 2)
	return b
}

func TestParseSuperblock(t *testing.T) {
	le := binary.LittleEndian
	b := superblockBytes()
	if s, err := parseSuperblock(b); err != nil || s.blocks != 1000 || s.blockSize != 4096 || s.mountTime != 0 || s.needsRecovery {
		t.Errorf("fresh: %+v, %v", s, err)
	}
	le.PutUint32(b[0x150:], 3) // counts only with the 64bit feature
	le.PutUint32(b[0x2c:], 77)
	if s, _ := parseSuperblock(b); s.blocks != 1000 || s.mountTime != 77 {
		t.Errorf("used: %+v", s)
	}
	le.PutUint32(b[0x60:], 0x84)
	if s, _ := parseSuperblock(b); s.blocks != 3<<32+1000 || !s.needsRecovery {
		t.Errorf("large and dirty: %+v", s)
	}
	le.PutUint32(b[0x18:], 99)
	if _, err := parseSuperblock(b); err == nil {
		t.Error("a block size of 2^109 was taken")
	}
	if _, err := parseSuperblock(make([]byte, 1024)); err == nil {
		t.Error("zeroes were taken for ext4")
	}
}

func TestFileStaysWhenItHasContent(t *testing.T) {
	dir := t.TempDir()
	full, empty, missing := filepath.Join(dir, "full"), filepath.Join(dir, "empty"), filepath.Join(dir, "etc/missing")
	link := filepath.Join(dir, "link")
	for path, content := range map[string]string{full: "mine", empty: ""} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("nowhere", link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{full, empty, missing, link} {
		if err := (file{path, "ours"}).Do(); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{full: "mine", empty: "ours", missing: "ours"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("%s: %q, %v", path, got, err)
		}
	}
	if target, err := os.Readlink(link); err != nil || target != "nowhere" {
		t.Errorf("the symlink became %q, %v", target, err)
	}
}

func TestEmptyRemovesATree(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a/b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a/b/c"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(dir, "l")); err != nil {
		t.Fatal(err)
	}
	if err := empty(dir); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
}
