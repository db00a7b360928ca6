package initd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/guest/proto"
)

func readSuperblock(device string) (super.Superblock, error) {
	f, err := os.Open(device)
	if err != nil {
		return super.Superblock{}, err
	}
	defer f.Close()
	s, err := super.Read(f)
	if errors.Is(err, super.ErrNone) {
		err = errors.New("it holds no ext4 file system")
	}
	return s, err
}

// anyQuota says whether a disk of this guest keeps quotas.
func anyQuota() bool {
	files, _ := filepath.Glob("/sys/block/*/serial")
	for _, f := range files {
		s, err := readSuperblock("/dev/" + filepath.Base(filepath.Dir(f)))
		if err == nil && s.ROCompat&super.Quota != 0 {
			return true
		}
	}
	return false
}

// mmpWait is how long mounting the device for writing takes the kernel by its mmp; zero where that can't be read.
func mmpWait(device string, s *super.Superblock) time.Duration {
	f, err := os.Open(device)
	if err != nil {
		return 0
	}
	defer f.Close()
	wait, _ := s.MMPWait(f)
	return wait
}

// ext4ResizeFS is EXT4_IOC_RESIZE_FS of fs/ext4/ext4.h: _IOW('f', 16, __u64), the new number of blocks.
const ext4ResizeFS = 0x40086610

// How long the kernel may take to hear of a device's new size, and how often it is looked for.
const (
	resizeTime = 10 * time.Second
	resizeLook = 5 * time.Millisecond
)

// Grow makes the file system on a mounted disk as large as the disk, once that has device bytes.
func (m *system) Grow(serial string, device int64) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.grow(serial, device)
}

func (m *system) grow(serial string, device int64) (int64, error) {
	d, ok := m.disks[serial]
	if !ok {
		return 0, proto.Errorf(proto.CodeNotFound, "no disk %s is mounted", serial)
	}
	if d.readOnly {
		return 0, proto.Errorf(proto.CodeRefused, "disk %s is mounted read-only", serial)
	}
	size, err := awaitSize(d.device, device)
	if err != nil {
		return 0, err
	}
	now, err := readSuperblock(d.device)
	if err != nil {
		return 0, err
	}
	blocks := uint64(size / now.BlockSize())
	if blocks <= now.Blocks {
		return now.Length(), nil
	}
	dir, err := os.Open(d.path)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), ext4ResizeFS, uintptr(unsafe.Pointer(&blocks))); errno != 0 {
		return 0, fmt.Errorf("resize %s from %d to %d blocks: %w", d.path, now.Blocks, blocks, errno)
	}
	if now, err = readSuperblock(d.device); err != nil {
		return 0, err
	}
	return now.Length(), nil
}

// awaitSize is the device's size, as soon as it is at least want.
func awaitSize(device string, want int64) (int64, error) {
	for late := time.Now().Add(resizeTime); ; time.Sleep(resizeLook) {
		size, err := deviceSize(device)
		switch {
		case err != nil:
			return 0, fmt.Errorf("size of %s: %w", device, err)
		case size >= want:
			return size, nil
		case time.Now().After(late):
			return 0, proto.Errorf(proto.CodeFailed, "the guest's kernel still sees %d bytes of %s, not %d", size, device, want)
		}
	}
}

func deviceSize(device string) (int64, error) {
	f, err := os.Open(device)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Seek(0, 2)
}
