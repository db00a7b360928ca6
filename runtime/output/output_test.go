package output

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
)

type item = drivertest.Entry

func TestConformance(t *testing.T) {
	drivertest.Outputs(t, func(*testing.T) driver.Outputs { return New() })
}

func folder(t testing.TB) (string, *os.Root) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return dir, root
}

func publishEntries(t *testing.T, root *os.Root, at string, entries ...item) (driver.Fetched, error) {
	t.Helper()
	return New().Publish(t.Context(), bytes.NewReader(drivertest.Tar(t, entries...)), driver.Target{Root: root, Path: at}, driver.Publishing{})
}

func publishWithGit(t *testing.T, root *os.Root, at string, entries ...item) (driver.Fetched, error) {
	t.Helper()
	return New().Publish(t.Context(), bytes.NewReader(drivertest.Tar(t, entries...)), driver.Target{Root: root, Path: at}, driver.Publishing{Git: true})
}

// list is what lies below dir: "mode path [-> target]".
func list(t testing.TB, dir string) []string {
	t.Helper()
	var got []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		line := fmt.Sprintf("%v %s", fi.Mode(), rel)
		if target, err := os.Readlink(p); err == nil {
			line = "l " + rel + " -> " + target
		}
		got = append(got, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestModesOnTheHost(t *testing.T) {
	defer unix.Umask(unix.Umask(0o022))
	dir, root := folder(t)
	_, err := publishEntries(t, root, "a/b/out",
		item{Name: "secret", Mode: 0, Data: "x"},
		item{Name: "tool", Mode: 0o6755, Data: "y"},
		item{Name: "deep/er", Type: tar.TypeDir, Mode: 0o1777},
		item{Name: "deep/link", Type: tar.TypeSymlink, Link: "../tool"})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"drwxr-xr-x .", "drwxr-xr-x deep", "drwxr-xr-x deep/er", "l deep/link -> ../tool",
		"-rw-r--r-- secret", "-rwxr-xr-x tool",
	}
	if got := list(t, filepath.Join(dir, "a/b/out")); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	if names, _ := os.ReadDir(filepath.Join(dir, "a/b")); len(names) != 1 {
		t.Errorf("left beside the output: %v", names)
	}
}

func TestSameTreeIsUntouched(t *testing.T) {
	dir, root := folder(t)
	files := []item{{Name: "sub/a", Data: "1"}, {Name: "b", Data: "2"}}
	first, err := publishEntries(t, root, "out", files...)
	if err != nil {
		t.Fatal(err)
	}
	past := time.Unix(1e9, 0)
	for _, p := range []string{"out/sub/a", "out/sub", "out"} {
		if err := os.Chtimes(filepath.Join(dir, p), past, past); err != nil {
			t.Fatal(err)
		}
	}
	second, err := publishEntries(t, root, "out", files...)
	if err != nil || !reflect.DeepEqual(second, first) {
		t.Fatalf("%+v, %v", second, err)
	}
	for _, p := range []string{"out/sub/a", "out/sub", "out"} {
		if fi, err := os.Stat(filepath.Join(dir, p)); err != nil || !fi.ModTime().Equal(past) {
			t.Errorf("%s was touched", p)
		}
	}
}

func TestReplaceAnyKindByAnyKind(t *testing.T) {
	kinds := map[string][]item{
		"file":  {{Name: ".", Data: "whole"}},
		"empty": {{Name: ".", Type: tar.TypeDir}},
		"dir":   {{Name: "x/y", Data: "1"}, {Name: "z", Data: "2"}},
	}
	for from, old := range kinds {
		for to, entries := range kinds {
			for _, steps := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s to %s steps %t", from, to, steps), func(t *testing.T) {
					dir, root := folder(t)
					if _, err := publishEntries(t, root, "out", old...); err != nil {
						t.Fatal(err)
					}
					if steps {
						swapWithoutExchange(t, root, entries)
					} else if _, err := publishEntries(t, root, "out", entries...); err != nil {
						t.Fatal(err)
					}
					check := t.TempDir()
					fresh, _ := os.OpenRoot(check)
					defer fresh.Close()
					if _, err := publishEntries(t, fresh, "out", entries...); err != nil {
						t.Fatal(err)
					}
					if got, want := list(t, dir), list(t, check); strings.Join(got, "\n") != strings.Join(want, "\n") {
						t.Errorf("got %q, want %q", got, want)
					}
				})
			}
		}
	}
}

// swapWithoutExchange does what publish does on a file system that can't exchange names.
func swapWithoutExchange(t *testing.T, root *os.Root, entries []item) {
	t.Helper()
	s, err := newStage(root, "out")
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if _, _, err := unpack(t.Context(), bytes.NewReader(drivertest.Tar(t, entries...)), s.root, DefaultLimit); err != nil {
		t.Fatal(err)
	}
	parent, err := root.Open(".")
	if err != nil {
		t.Fatal(err)
	}
	defer parent.Close()
	if err := s.swapInSteps(int(s.dir.Fd()), int(parent.Fd())); err != nil {
		t.Fatal(err)
	}
}

func TestSweepAfterDeath(t *testing.T) {
	dir, root := folder(t)
	stale := func(base string) string {
		p := filepath.Join(dir, stagePrefix(base)+"dead")
		if err := os.MkdirAll(filepath.Join(p, stageName, "half"), 0o700); err != nil {
			t.Fatal(err)
		}
		return p
	}
	t.Run("the old tree that was moved aside comes back", func(t *testing.T) {
		p := stale("out")
		if err := os.WriteFile(filepath.Join(p, oldName), []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := publishEntries(t, root, "out", item{Name: "/bad"})
		if !errors.Is(err, driver.ErrRefused) {
			t.Fatal(err)
		}
		if data, err := os.ReadFile(filepath.Join(dir, "out")); err != nil || string(data) != "old" {
			t.Errorf("%q, %v", data, err)
		}
		if _, err := os.Stat(p); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the dead stage is still there: %v", err)
		}
	})
	t.Run("another target's stage and a living one stay", func(t *testing.T) {
		other := stale("other")
		living, err := newStage(root, "out")
		if err != nil {
			t.Fatal(err)
		}
		defer living.close()
		if _, err := publishEntries(t, root, "out", item{Name: ".", Data: "new"}); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{other, filepath.Join(dir, living.name)} {
			if _, err := os.Stat(p); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestManyPublishAtOnce(t *testing.T) {
	dir, root := folder(t)
	errs := make(chan error)
	const n = 8
	for i := range n {
		go func() {
			stream := drivertest.Tar(t, item{Name: "who", Data: fmt.Sprint(i)}, item{Name: "and", Data: fmt.Sprint(i)})
			_, err := New().Publish(context.Background(), bytes.NewReader(stream), driver.Target{Root: root, Path: "out"}, driver.Publishing{})
			errs <- err
		}()
	}
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	who, _ := os.ReadFile(filepath.Join(dir, "out/who"))
	and, _ := os.ReadFile(filepath.Join(dir, "out/and"))
	if len(who) == 0 || !bytes.Equal(who, and) {
		t.Errorf("mixed: %q and %q", who, and)
	}
	if names, _ := os.ReadDir(dir); len(names) != 1 {
		t.Errorf("left: %v", names)
	}
}

func TestTargetsThatLeaveTheRoot(t *testing.T) {
	dir, root := folder(t)
	outside := t.TempDir()
	for link, to := range map[string]string{"abs": outside, "up": "..", "in": "real"} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "real"), 0o700); err != nil {
		t.Fatal(err)
	}
	one := item{Name: ".", Data: "1"}
	for _, at := range []string{"abs/out", "up/out", "abs/new/out", "up/new/out"} {
		_, err := publishEntries(t, root, at, one)
		if !errors.Is(err, driver.ErrRefused) || !strings.Contains(driver.Next(err), "symlink") {
			t.Errorf("%s: %v (next: %s)", at, err, driver.Next(err))
		}
	}
	if left := list(t, outside); len(left) != 1 {
		t.Errorf("written outside: %v", left)
	}
	if _, err := publishEntries(t, root, "in/out", one); err != nil {
		t.Errorf("a link that stays inside: %v", err)
	}
	if _, err := publishEntries(t, root, "abs", one); err != nil {
		t.Errorf("a link under the very name is replaced: %v", err)
	}
	if fi, err := os.Lstat(filepath.Join(dir, "abs")); err != nil || !fi.Mode().IsRegular() {
		t.Errorf("%v, %v", fi, err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := publishEntries(t, root, "pipe", one); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("a fifo was replaced: %v", err)
	}
	if _, err := publishEntries(t, root, "in/out/below", one); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("below a file: %v", err)
	}
}

// What lies on the way is named for what it is.
func TestObstacles(t *testing.T) {
	for _, c := range []struct {
		name string
		lay  func(path string) error
		next string
	}{
		{"file", func(p string) error { return os.WriteFile(p, nil, 0o644) }, "a/out is a file where a folder is needed"},
		{"outside", func(p string) error { return os.Symlink("/tmp", p) }, "a/out is a symlink that leads outside the folder or nowhere"},
		{"nowhere", func(p string) error { return os.Symlink("none", p) }, "a/out is a symlink that leads outside the folder or nowhere"},
		{"to a file", func(p string) error {
			return errors.Join(os.WriteFile(p+"2", nil, 0o644), os.Symlink("out2", p))
		}, "a/out is a symlink to a file where a folder is needed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir, root := folder(t)
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "a"), 0o755), c.lay(filepath.Join(dir, "a", "out"))); err != nil {
				t.Fatal(err)
			}
			_, err := publishEntries(t, root, "a/out/b", item{Name: "b", Data: "1"})
			if !errors.Is(err, driver.ErrRefused) || !strings.HasPrefix(driver.Next(err), c.next) {
				t.Errorf("publish: %v, next: %s", err, driver.Next(err))
			}
			_, err = New().Digest(t.Context(), driver.Target{Root: root, Path: "a/out/b"})
			if c.name != "nowhere" && !strings.HasPrefix(driver.Next(err), c.next) || err == nil {
				t.Errorf("digest: %v, next: %s", err, driver.Next(err))
			}
		})
	}
}

func TestDigestNeverFollowsLinks(t *testing.T) {
	dir, root := folder(t)
	if err := os.Symlink("/etc", filepath.Join(dir, "out")); err != nil {
		t.Fatal(err)
	}
	got, err := New().Digest(t.Context(), driver.Target{Root: root, Path: "out"})
	if want := (tree{".": {kind: kindLink, target: "/etc"}}).digest(); err != nil || got != want {
		t.Errorf("%s, %v", got, err)
	}
}

func TestDigestForm(t *testing.T) {
	got := tree{".": {kind: kindDir}, "l": {kind: kindLink, target: "t"}}.digest()
	// printf 'microagent tree v1\nd.\0ll\0t\0' | sha256sum
	const want = "sha256:af4d06f4e63f6a6bdbe8227bbdcc845ce421a7385d9864a24d2b3fbdb3ec8f8a"
	if got != want {
		t.Errorf("the digest's form changed: %s", got)
	}
}

func TestCancelled(t *testing.T) {
	dir, root := folder(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := New().Publish(ctx, bytes.NewReader(drivertest.Tar(t, item{Name: ".", Data: "1"})), driver.Target{Root: root, Path: "out"}, driver.Publishing{})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if names, _ := os.ReadDir(dir); len(names) != 0 {
		t.Errorf("left: %v", names)
	}
}

func TestSweepFollowsNoLink(t *testing.T) {
	dir, root := folder(t)
	victim := filepath.Join(dir, "victim")
	if err := errors.Join(os.MkdirAll(filepath.Join(victim, oldName), 0o755), os.Symlink("victim", filepath.Join(dir, stagePrefix("out")+"x"))); err != nil {
		t.Fatal(err)
	}
	if _, err := publishEntries(t, root, "out", item{Name: ".", Data: "1"}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(victim, oldName)); err != nil {
		t.Errorf("moved through a link: %v", err)
	}
}
