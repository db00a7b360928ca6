package output

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// oldName is where the tree that is replaced lies until it is removed, on file systems that can't exchange
// two names in one step.
const oldName = "old"

// syncEach is the number of entries up to which each is synced by itself; more are synced with the rest of
// their file system.
const syncEach = 64

// maxRaces is how often another may put a tree at the target, and take it away, while this one is put there.
const maxRaces = 100

// stage is a hidden folder beside the target in which a tree is written. It is locked while its owner lives.
type stage struct {
	parent *os.Root
	base   string
	name   string
	root   *os.Root
	dir    *os.File // of root, holds the lock
}

func stagePrefix(base string) string {
	sum := sha256.Sum256([]byte(base))
	return ".microagent-" + hex.EncodeToString(sum[:6]) + "-"
}

func newStage(parent *os.Root, base string) (*stage, error) {
	for {
		s, err := tryStage(parent, base)
		if err != nil || s != nil {
			return s, err
		}
	}
}

// tryStage gives nil when a sweep took the folder for a dead one before it was locked.
func tryStage(parent *os.Root, base string) (*stage, error) {
	var random [6]byte
	_, _ = rand.Read(random[:])
	s := &stage{parent: parent, base: base, name: stagePrefix(base) + hex.EncodeToString(random[:])}
	if err := parent.Mkdir(s.name, 0o700); err != nil {
		return nil, err
	}
	var err error
	if s.root, err = parent.OpenRoot(s.name); err != nil {
		return nil, ignoreNotExist(err)
	}
	if s.dir, err = s.root.Open("."); err != nil {
		return nil, errors.Join(err, s.root.Close())
	}
	err = unix.Flock(int(s.dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		_, err = parent.Lstat(s.name)
	}
	if err == nil {
		return s, nil
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		err = nil
	}
	return nil, errors.Join(ignoreNotExist(err), s.root.Close(), s.dir.Close())
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// close removes the stage with what is in it.
func (s *stage) close() {
	_ = s.parent.RemoveAll(s.name)
	_ = s.root.Close()
	_ = s.dir.Close()
}

// publish syncs the tree and gives it its name. What had the name before is in the stage afterwards.
func (s *stage) publish(tr tree) error {
	if err := s.sync(tr); err != nil {
		return err
	}
	parent, err := s.parent.Open(".")
	if err != nil {
		return err
	}
	defer parent.Close()
	if err := s.swap(int(parent.Fd())); err != nil {
		return err
	}
	return parent.Sync()
}

func (s *stage) swap(parent int) error {
	from := int(s.dir.Fd())
	err := unix.Renameat2(from, stageName, parent, s.base, unix.RENAME_EXCHANGE)
	for n := 0; errors.Is(err, unix.ENOENT) && n < maxRaces; n++ {
		err = unix.Renameat(from, stageName, parent, s.base)
		if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EISDIR) {
			// Another has put something there since.
			err = unix.Renameat2(from, stageName, parent, s.base, unix.RENAME_EXCHANGE)
		}
	}
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = s.swapInSteps(from, parent)
	}
	if err != nil {
		return &fs.PathError{Op: "rename into place", Path: s.base, Err: err}
	}
	return nil
}

// swapInSteps is for file systems without RENAME_EXCHANGE. When it is cut short, sweep puts the old tree back.
func (s *stage) swapInSteps(from, parent int) error {
	err := unix.Renameat(parent, s.base, from, oldName)
	if err != nil && !errors.Is(err, unix.ENOENT) {
		return err
	}
	had := err == nil
	err = unix.Renameat(from, stageName, parent, s.base)
	if err != nil && had {
		return errors.Join(err, unix.Renameat(from, oldName, parent, s.base))
	}
	return err
}

// sync makes the tree durable before it gets its name.
func (s *stage) sync(tr tree) error {
	if len(tr) > syncEach {
		return unix.Syncfs(int(s.dir.Fd()))
	}
	for _, name := range tr.paths() {
		if tr[name].kind == kindLink {
			continue
		}
		f, err := s.root.Open(path.Join(stageName, name))
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return s.dir.Sync()
}

// sweep removes the stages of base whose owner died. A tree that one of them had moved aside goes back first
// when nothing took its place.
func sweep(parent *os.Root, base string) error {
	dir, err := parent.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !strings.HasPrefix(name, stagePrefix(base)) {
			continue
		}
		if err := sweepOne(parent, dir, base, name); err != nil {
			return err
		}
	}
	return nil
}

// sweepOne leaves alone what only has a stage's name: a link to somewhere else, or a file.
func sweepOne(parent *os.Root, dir *os.File, base, name string) error {
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		if errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
			return nil
		}
		return ignoreNotExist(err)
	}
	defer unix.Close(fd)
	if err := unix.Flock(fd, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil
	}
	if _, err := parent.Lstat(base); errors.Is(err, fs.ErrNotExist) {
		if err := ignoreNotExist(unix.Renameat(fd, oldName, int(dir.Fd()), base)); err != nil {
			return err
		}
	}
	return parent.RemoveAll(name)
}
