package folder

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
)

func lay(t *testing.T) (dir, beside string) {
	t.Helper()
	base := t.TempDir()
	dir, beside = filepath.Join(base, "repo"), filepath.Join(base, "beside")
	for _, d := range []string{dir, beside} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(path string) {
		if err := os.WriteFile(path, []byte(filepath.Base(path)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(dir, "in"))
	write(filepath.Join(beside, "secret"))
	for name, target := range map[string]string{
		"link": "in", "escape": "../beside/secret", "absolute": filepath.Join(beside, "secret"), "loop": "loop",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(dir, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, beside
}

func TestOpenStaysInside(t *testing.T) {
	dir, beside := lay(t)
	f, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range []string{"in", "./in", "link", filepath.Join(dir, "in")} {
		file, err := f.Open(name)
		if err != nil {
			t.Errorf("Open(%q) = %v", name, err)
			continue
		}
		data, _ := io.ReadAll(file)
		file.Close()
		if string(data) != "in" {
			t.Errorf("Open(%q) gave %q", name, data)
		}
	}
	for _, name := range []string{"escape", "absolute", "../beside/secret", filepath.Join(beside, "secret"), "/etc/passwd", "../nowhere"} {
		file, err := f.Open(name)
		if !errors.Is(err, driver.ErrRefused) {
			t.Errorf("Open(%q) = %v, want refused", name, err)
		}
		if err == nil {
			file.Close()
		} else if !strings.Contains(driver.Next(err), "--allow-path=") {
			t.Errorf("Open(%q) does not say how to allow it: %v", name, err)
		}
		if _, err := f.Stat(name); !errors.Is(err, driver.ErrRefused) {
			t.Errorf("Stat(%q) = %v, want refused", name, err)
		}
	}
	if _, err := f.Open("missing"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := f.Open("loop"); err == nil {
		t.Error("a symlink loop was opened")
	}
	fifo, err := f.Open("fifo") // must not wait for a writer
	if err != nil {
		t.Fatal(err)
	}
	fifo.Close()
}

// TestWhatToAllow names no more than the folder that a source is, or the one that it lies in.
func TestWhatToAllow(t *testing.T) {
	dir, beside := lay(t)
	f, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	spaced := filepath.Join(beside, "a folder")
	if err := errors.Join(os.Mkdir(spaced, 0o755), os.Symlink(spaced, filepath.Join(dir, "spaced"))); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"escape": beside, "../beside": beside, "spaced": "'" + spaced + "'", "../beside/none": beside} {
		if _, err := f.Stat(name); !strings.HasSuffix(driver.Next(err), "--allow-path="+want) {
			t.Errorf("Stat(%q): %v, next %s", name, err, driver.Next(err))
		}
	}
}

func TestAllowedPathOpens(t *testing.T) {
	dir, beside := lay(t)
	f, err := Open(dir, []string{beside})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, name := range []string{"escape", "absolute", "../beside/secret", filepath.Join(beside, "secret")} {
		file, err := f.Open(name)
		if err != nil {
			t.Errorf("Open(%q) = %v", name, err)
			continue
		}
		file.Close()
	}
	if _, err := f.Open("/etc/passwd"); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("a path that no flag allows: %v", err)
	}
}

func TestTargetStaysInside(t *testing.T) {
	dir, _ := lay(t)
	f, err := Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	target, err := f.Target("./out/count")
	if err != nil || target.Path != "out/count" {
		t.Errorf("Target = %+v, %v", target, err)
	}
	for _, name := range []string{"../x", "/tmp/x", ".", ""} {
		if _, err := f.Target(name); !errors.Is(err, driver.ErrRefused) {
			t.Errorf("Target(%q) = %v, want refused", name, err)
		}
	}
}
