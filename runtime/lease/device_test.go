package lease

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
)

// loopDevice attaches a loop device to a file, until the test ends.
func loopDevice(t *testing.T, file string) string {
	t.Helper()
	out, err := exec.Command("losetup", "-f", "--show", file).CombinedOutput()
	if err != nil {
		t.Skipf("no loop device to be had: %v: %s", err, out)
	}
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "-d", device).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
	})
	return device
}

// sibling is another node of the same device, as another container has one.
func sibling(t *testing.T, device string) string {
	t.Helper()
	info, err := os.Stat(device)
	if err != nil {
		t.Fatal(err)
	}
	node := filepath.Join(t.TempDir(), "node")
	if err := unix.Mknod(node, unix.S_IFBLK|0o600, int(info.Sys().(*syscall.Stat_t).Rdev)); err != nil {
		t.Skipf("no loop device to be had by another node: %v", err)
	}
	return node
}

// TestDeviceClaim: a writer keeps all others off, by whatever node, also when only a child of its has the descriptor.
func TestDeviceClaim(t *testing.T) {
	file := filepath.Join(t.TempDir(), "backing")
	if err := os.WriteFile(file, make([]byte, 8<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mke2fs", "-q", "-t", "ext4", file).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	device := loopDevice(t, file)
	node := sibling(t, device)
	others := func(want error) {
		t.Helper()
		for _, path := range []string{device, node} {
			for _, mode := range []Mode{Exclusive, Shared} {
				l, err := Acquire(path, mode)
				if !errors.Is(err, want) || (err == nil) != (want == nil) {
					t.Errorf("%v of %s: %v", mode, path, err)
				}
				if l != nil {
					l.Close()
				}
			}
			if held, _, err := Probe(path); err != nil || held != (want != nil) {
				t.Errorf("probe of %s: %v, %v", path, held, err)
			}
		}
	}
	l, err := Acquire(device, Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	others(driver.ErrBusy)
	_, err = Acquire(device, Exclusive)
	if busy, ok := errors.AsType[*BusyError](err); !ok || len(busy.Holders) == 0 {
		t.Errorf("the holder has no name: %v", err)
	}
	child := exec.Command("cat")
	in, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	child.ExtraFiles = []*os.File{l.File()}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	l.Close()
	others(driver.ErrBusy)
	in.Close()
	_ = child.Wait()
	others(nil)

	a, err1 := Acquire(device, Shared)
	b, err2 := Acquire(device, Shared)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	if _, err := Acquire(device, Exclusive); !errors.Is(err, driver.ErrBusy) {
		t.Errorf("a writer beside readers: %v", err)
	}
	a.Close()
	b.Close()

	at := t.TempDir()
	if out, err := exec.Command("mount", "-t", "ext4", device, at).CombinedOutput(); err != nil {
		t.Skipf("the kernel mounts no image here: %s", out)
	}
	others(driver.ErrBusy)
	_, err = Acquire(device, Exclusive)
	if busy, ok := errors.AsType[*BusyError](err); !ok || busy.Next != "umount "+at {
		t.Errorf("mounted: %v", err)
	}
	if out, err := exec.Command("umount", at).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	others(nil)
}

// TestFileBehindALoopDevice: what is mounted from it takes no lock on the file.
func TestFileBehindALoopDevice(t *testing.T) {
	file := image(t)
	device := loopDevice(t, file)
	_, err := Acquire(file, Exclusive)
	if busy, ok := errors.AsType[*BusyError](err); !ok || !strings.Contains(busy.Error(), device) || !strings.Contains(busy.Next, device) {
		t.Errorf("%v", err)
	}
	l, err := Acquire(file, Shared)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
}
