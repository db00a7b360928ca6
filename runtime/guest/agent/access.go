package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// runnable says, with a shell's exit code, why a program can't be executed by the identity: the folders above it count
// as well. nil when it can.
func (id *identity) runnable(path string) error {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return &notRun{126, fmt.Sprintf("%s: is a directory", path)}
	}
	if err == nil {
		err = id.do(func() error { return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS) })
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return &notRun{127, fmt.Sprintf("%s: no such file or directory", path)}
	}
	return &notRun{126, fmt.Sprintf("%s: %v", path, cause(err))}
}

// do calls f on a thread of its own that the kernel judges as the identity wherever files are concerned; see setfsuid(2),
// which drops the capabilities over files as well. Root's are judged by those whatever its groups are, so that it needs no
// thread: a new one costs an emulated guest as much as a process.
func (id *identity) do(f func() error) error {
	if int(id.uid) == os.Geteuid() {
		return f()
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		done <- id.assume(f)
	}()
	return <-done
}

func (id *identity) assume(f func() error) error {
	// The calls of x/sys change every thread of the process; these change this one alone.
	groups := append(slices.Clone(id.groups), id.gid) // never empty, so that there is an address
	if _, _, e := unix.RawSyscall(unix.SYS_SETGROUPS, uintptr(len(id.groups)), uintptr(unsafe.Pointer(&groups[0])), 0); e != 0 {
		return e
	}
	if err := unix.Setfsgid(int(id.gid)); err != nil {
		return err
	}
	if err := unix.Setfsuid(int(id.uid)); err != nil {
		return err
	}
	return f()
}
