package build

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"microagent/runtime/disk/ext4"
)

// memory is an Output in memory.
type memory struct{ data []byte }

func (m *memory) WriteAt(p []byte, at int64) (int, error) {
	if n := int(at) + len(p); n > len(m.data) {
		m.data = append(m.data, make([]byte, n-len(m.data))...)
	}
	return copy(m.data[at:], p), nil
}

func (m *memory) Truncate(int64) error { return nil }

// TestNothingIsWrittenToWhatAllShare builds one of each kind, replaces and removes, and looks at what the rest have.
func TestNothingIsWrittenToWhatAllShare(t *testing.T) {
	b, err := New(&memory{}, Options{Time: time.Unix(1e9, 0)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	attr := ext4.Attr{Mode: 0o644, Xattrs: map[string][]byte{"user.a": []byte(strings.Repeat("x", 2000))}}
	for _, step := range []func() error{
		func() error { return b.Mkdir("d/e", attr) },
		func() error { return b.Mkdir("d/e", ext4.Attr{Mode: 0o755}) },
		func() error { return b.File("d/f", attr, 3, strings.NewReader("abc")) },
		func() error { return b.File("d/plain", ext4.Attr{Mode: 0o644}, 3, strings.NewReader("abc")) },
		func() error { return b.Symlink("d/l", "to", attr) },
		func() error { return b.Device("d/c", ext4.ModeChar, 1, 3, attr) },
		func() error { b.NextLayer(); return b.File("d/e/x", ext4.Attr{}, 0, nil) },
		func() error { return b.Whiteout("d/e") },
		func() error { return b.Remove("d/f") },
	} {
		if err := step(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.Finish(); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(plain, &special{}) {
		t.Errorf("%+v", plain)
	}
}
