package lease

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// IsDevice says whether a file is a block device.
func IsDevice(info fs.FileInfo) bool { return info.Mode()&fs.ModeType == fs.ModeDevice }

// open opens an image, and claims it where it is a block device that is to be written. O_EXCL means a claim there and
// nothing elsewhere (open(2)).
func open(path string, mode Mode) (*os.File, error) {
	flags := os.O_RDONLY
	if mode == Exclusive {
		flags = os.O_RDWR | unix.O_EXCL
	}
	var f *os.File
	err := patiently(func() (err error) {
		f, err = os.OpenFile(path, flags|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
		return err
	}, unix.EBUSY)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, claimed(path, mode)
	case err != nil:
		return nil, fmt.Errorf("lease: %w", err)
	}
	return f, nil
}

// unclaimed says whether nobody has the device at f for writing, by having it for a moment.
func unclaimed(f *os.File, path string) error {
	err := patiently(func() error { return claim(f) }, unix.EBUSY)
	if errors.Is(err, unix.EBUSY) {
		return claimed(path, Shared)
	}
	return err
}

// claim claims the device at f and lets go of it.
func claim(f *os.File) error {
	again, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", f.Fd()), os.O_RDONLY|unix.O_EXCL|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	return again.Close()
}

// claimed is the error of a device that another process, the kernel or a device above it has.
func claimed(path string, mode Mode) error {
	busy := &BusyError{Path: path, Mode: mode}
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return busy
	}
	defer f.Close()
	if busy.Holders = describe(pidsOf(lockers(f))); len(busy.Holders) > 0 {
		return busy
	}
	info, err := f.Stat()
	if err != nil {
		return busy
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return busy
	}
	number := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
	if at := mountOf(number); at != "" {
		busy.Holders, busy.Next = []string{"the mount at " + at}, "umount "+at
		return busy
	}
	above, _ := filepath.Glob("/sys/dev/block/" + number + "/holders/*")
	for _, name := range above {
		busy.Holders = append(busy.Holders, "/dev/"+filepath.Base(name))
	}
	return busy
}

// mountOf is where the device of that number is mounted, as far as this process sees, or "". Format:
// proc_pid_mountinfo(5).
func mountOf(number string) string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 && fields[2] == number {
			return fields[4]
		}
	}
	return ""
}

// unlooped is a BusyError while a loop device of the host has the file: neither it nor what is mounted from it takes a
// lock.
func unlooped(file fs.FileInfo, path string) error {
	list, _ := filepath.Glob("/sys/block/loop*/loop/backing_file")
	for _, name := range list {
		behind, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		if info, err := os.Stat(strings.TrimSuffix(string(behind), "\n")); err == nil && os.SameFile(info, file) {
			loop := "/dev/" + filepath.Base(filepath.Dir(filepath.Dir(name)))
			return &BusyError{Path: path, Mode: Exclusive, Holders: []string{loop + " of this host"}, Next: "umount it, or losetup -d " + loop}
		}
	}
	return nil
}
