package layout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// LockedError says that another process holds a lock.
type LockedError struct {
	Kind, Name string
	Holder     string // what the holder wrote about itself: "pid 4711, microagent apply, by me@host, since 2026-01-02T15:04:05Z"
}

func (e *LockedError) Error() string {
	if e.Holder == "" {
		return fmt.Sprintf("%s %s is locked by another process", e.Kind, e.Name)
	}
	return fmt.Sprintf("%s %s is locked by %s", e.Kind, e.Name, e.Holder)
}

// Lock takes the exclusive lock of one object, waiting up to wait for it, and gives its unlock. The lock dies
// with the process; its file stays for ever.
func (s State) Lock(ctx context.Context, kind, name string, wait time.Duration) (unlock func(), err error) {
	return s.lock(ctx, kind, name, wait, unix.LOCK_EX)
}

// Both takes the locks of two objects by lock, always in the same order, and gives the unlock of both.
func Both(a, b string, lock func(name string) (unlock func(), err error)) (unlock func(), err error) {
	first, err := lock(min(a, b))
	if err != nil {
		return nil, err
	}
	second, err := lock(max(a, b))
	if err != nil {
		first()
		return nil, err
	}
	return func() { second(); first() }, nil
}

// Share takes the lock of one object together with all others that share it: who has it by Lock keeps them off, and they
// that one.
func (s State) Share(ctx context.Context, kind, name string, wait time.Duration) (unlock func(), err error) {
	return s.lock(ctx, kind, name, wait, unix.LOCK_SH)
}

func (s State) lock(ctx context.Context, kind, name string, wait time.Duration, how int) (unlock func(), err error) {
	if err := os.MkdirAll(s.Locks(), 0o700); err != nil {
		return nil, err
	}
	f, err := open(s.LockFile(kind, name), unix.O_RDWR|unix.O_CREAT, 0o600)
	if err != nil {
		return nil, err
	}
	begun := time.Now()
	tell := toldOf(ctx)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) {
			f.Close()
			return nil, fmt.Errorf("lock %s %s: %w", kind, name, err)
		}
		waited := time.Since(begun)
		if waited >= wait {
			defer f.Close()
			return nil, &LockedError{Kind: kind, Name: name, Holder: holderOf(f)}
		}
		if tell != nil && waited >= patience {
			tell(&LockedError{Kind: kind, Name: name, Holder: holderOf(f)}, wait)
			tell = nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(s.about()), 0)
	}
	return func() { f.Close() }, nil
}

// about is what this process writes about itself into the locks that it holds. People read it, and no program does: that of
// older versions names nobody.
func (s State) about() string {
	return fmt.Sprintf("pid %d, %s, by %s, since %s", os.Getpid(), s.command(), whose(), time.Now().UTC().Format(time.RFC3339))
}

// whose is the user that this process runs as, and the host that it runs on.
var whose = sync.OnceValue(func() string {
	who := fmt.Sprintf("uid %d", os.Getuid())
	if u, err := user.Current(); err == nil && u.Username != "" {
		who = u.Username
	}
	if host, err := os.Hostname(); err == nil {
		who += "@" + host
	}
	return who
})

// holderOf is what the holder of a lock wrote into its file.
func holderOf(f *os.File) string {
	holder := make([]byte, 1024)
	n, _ := f.ReadAt(holder, 0)
	return string(holder[:n])
}

// command is what this process says it runs.
func (s State) command() string {
	if s.Command != "" {
		return s.Command
	}
	command := filepath.Base(os.Args[0])
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		command += " " + os.Args[1]
	}
	return command
}
