package initd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
)

// superblock is the little that we need of an ext4 file system's, at byte 1024 of its device. Offsets are those of
// struct ext4_super_block in the kernel's fs/ext4/ext4.h.
type superblock struct {
	blocks        uint64
	blockSize     int64
	mountTime     uint32 // 0 until it is mounted for writing the first time
	needsRecovery bool
}

func readSuperblock(device string) (superblock, error) {
	f, err := os.Open(device)
	if err != nil {
		return superblock{}, err
	}
	defer f.Close()
	b := make([]byte, 1024)
	if _, err := f.ReadAt(b, 1024); err != nil {
		return superblock{}, fmt.Errorf("read the superblock: %w", err)
	}
	return parseSuperblock(b)
}

func parseSuperblock(b []byte) (superblock, error) {
	const (
		magic          = 0xEF53
		incompatRecov  = 0x4
		incompat64bit  = 0x80
		largestLogSize = 6 // 64 KiB
	)
	le := binary.LittleEndian
	if le.Uint16(b[0x38:]) != magic {
		return superblock{}, errors.New("it holds no ext4 file system")
	}
	logSize := le.Uint32(b[0x18:])
	if logSize > largestLogSize {
		return superblock{}, errors.New("its ext4 superblock is damaged")
	}
	incompat := le.Uint32(b[0x60:])
	s := superblock{
		blocks: uint64(le.Uint32(b[0x4:])), blockSize: 1024 << logSize, mountTime: le.Uint32(b[0x2c:]),
		needsRecovery: incompat&incompatRecov != 0,
	}
	if incompat&incompat64bit != 0 {
		s.blocks |= uint64(le.Uint32(b[0x150:])) << 32
	}
	return s, nil
}

// ext4ResizeFS is EXT4_IOC_RESIZE_FS of fs/ext4/ext4.h: _IOW('f', 16, __u64), the new number of blocks.
const ext4ResizeFS = 0x40086610

// How long the kernel may take to hear of a device's new size, and how often it is looked for.
const (
	resizeTime = 10 * time.Second
	resizeLook = 5 * time.Millisecond
)

// Grow makes the file system on a mounted disk as large as the disk, once that has device bytes.
func (m *machine) Grow(serial string, device int64) (int64, error) {
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
	blocks := uint64(size / now.blockSize)
	if blocks <= now.blocks {
		return int64(now.blocks) * now.blockSize, nil
	}
	dir, err := os.Open(d.path)
	if err != nil {
		return 0, err
	}
	defer dir.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), ext4ResizeFS, uintptr(unsafe.Pointer(&blocks))); errno != 0 {
		return 0, fmt.Errorf("resize %s from %d to %d blocks: %w", d.path, now.blocks, blocks, errno)
	}
	if now, err = readSuperblock(d.device); err != nil {
		return 0, err
	}
	return int64(now.blocks) * now.blockSize, nil
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
