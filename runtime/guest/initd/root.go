package initd

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/agent"
)

// enter makes dir, a mount, the root of this process and of all that it will start. The kernel's file systems move
// along; what the initramfs held is removed, since its memory is never given back otherwise.
func enter(dir string) error {
	for _, fsys := range []string{"/proc", "/sys", "/dev"} {
		if err := os.MkdirAll(dir+fsys, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(fsys, dir+fsys, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", fsys, err)
		}
	}
	if err := empty("/"); err != nil {
		return fmt.Errorf("empty the initramfs: %w", err)
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move the root: %w", err)
	}
	if err := unix.Chroot("."); err != nil {
		return err
	}
	return os.Chdir("/")
}

// empty removes what is in dir, on its own file system only.
func empty(dir string) error {
	own, err := device(dir)
	if err != nil {
		return err
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			if dev, err := device(path); err != nil || dev != own {
				continue
			}
			if err := empty(path); err != nil {
				return err
			}
		}
		// A directory that holds a mount stays.
		if err := os.Remove(path); err != nil && !errors.Is(err, unix.EBUSY) && !errors.Is(err, unix.ENOTEMPTY) {
			return err
		}
	}
	return nil
}

func device(path string) (uint64, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return 0, err
	}
	return info.Sys().(*syscall.Stat_t).Dev, nil
}

// furnish gives the root file system what programs expect and images leave to their runtime. On a read-only one
// it is there already or stays away.
func furnish(log *agent.Log, hostname string, directories []string) {
	steps := []step{
		runtimeDir{},
		directory{"/tmp", 0o777 | fs.ModeSticky},
		file{"/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n" + hostLine(hostname) + "\n"},
		file{"/etc/resolv.conf", "# this guest has no network\n"},
		file{"/etc/hostname", hostname + "\n"},
	}
	for _, path := range directories {
		steps = append(steps, folder(path))
	}
	for _, s := range steps {
		if err := s.Do(); err != nil && !errors.Is(err, unix.EROFS) {
			log.Printf("%s: %v", s, err)
		}
	}
}

// named is a host name that was given, or else the image's.
func named(given string) string {
	if given != "" {
		return given
	}
	if data, err := os.ReadFile("/etc/hostname"); err == nil {
		given = strings.TrimSpace(string(data))
	}
	return cmp.Or(given, "localhost")
}

// folder makes a directory, with those above it, where there is nothing of its name.
type folder string

func (f folder) Do() error {
	if _, err := os.Lstat(string(f)); err == nil {
		return nil
	}
	return os.MkdirAll(string(f), 0o755)
}

func (f folder) String() string { return "directory " + string(f) }

// file writes a file that is missing or empty; whatever else has its name stays.
type file struct{ path, content string }

func (f file) Do() error {
	if info, err := os.Lstat(f.path); err == nil && (!info.Mode().IsRegular() || info.Size() > 0) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(f.path, []byte(f.content), 0o644)
}

func (f file) String() string { return "file " + f.path }

// runtimeDir puts a file system in memory on /run, so that nothing of an earlier boot is in it, with the
// directories that the image has there: their owners and modes are what its services were built for.
type runtimeDir struct{}

const (
	runDir     = "/run"
	runEntries = 1000
)

func (runtimeDir) String() string { return "mount tmpfs on " + runDir }

func (runtimeDir) Do() error {
	if info, err := os.Lstat(runDir); err == nil && !info.IsDir() {
		return nil // the image has its own idea
	}
	kept := directories(runDir)
	if err := (mount{"tmpfs", runDir, "mode=0755", unix.MS_NOSUID | unix.MS_NODEV}).Do(); err != nil {
		return err
	}
	for _, k := range kept {
		if err := os.Mkdir(k.path, 0o700); err != nil {
			return err
		}
		if err := os.Chown(k.path, int(k.stat.Uid), int(k.stat.Gid)); err != nil {
			return err
		}
		if err := unix.Chmod(k.path, k.stat.Mode&0o7777); err != nil {
			return err
		}
	}
	return nil
}

type keptDir struct {
	path string
	stat *syscall.Stat_t
}

// directories lists those below dir, parents first, up to a number.
func directories(dir string) []keptDir {
	var list []keptDir
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || len(list) == runEntries {
			return fs.SkipDir
		}
		if path == dir || !d.IsDir() {
			return nil
		}
		if info, err := d.Info(); err == nil {
			list = append(list, keptDir{path, info.Sys().(*syscall.Stat_t)})
		}
		return nil
	})
	return list
}
