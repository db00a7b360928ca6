package target

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
	"microagent/runtime/lease"
)

// Device is a disk on a block device, by its node's path.
type Device string

var _ Target = Device("")

func (d Device) Path() string                          { return string(d) }
func (d Device) Claim(mode lease.Mode) (*Claim, error) { return claim(string(d), mode) }

// headSize is the first block: what tells tools that there is a file system lies in it.
const headSize = 4096

// unfinished is at the beginning of a device as long as the disk on it is a draft. ext4 leaves these bytes alone.
const unfinished = "microagent: a disk is being made here, or was when it was broken off\n"

// Draft claims the device and looks at what is on it.
func (d Device) Draft(fs.FileMode) (Draft, error) {
	c, err := d.Claim(lease.Exclusive)
	if busy, ok := errors.AsType[*lease.BusyError](err); ok {
		return nil, &driver.Error{Class: driver.ErrBusy, Op: "make a disk", Object: string(d), Err: busy, Next: busy.Next}
	}
	if err != nil {
		return nil, err
	}
	draft := &deviceDraft{claim: c, file: c.File()}
	if err := draft.begin(); err != nil {
		c.Close()
		return nil, err
	}
	return draft, nil
}

// deviceDraft writes to a device and holds its head back.
type deviceDraft struct {
	claim *Claim
	file  *os.File
	room  int64 // of the device

	mu     sync.Mutex
	length int64 // of the disk so far; what lies before is written or made zero
	head   [headSize]byte
}

func (d *deviceDraft) begin() (err error) {
	if d.room, err = d.claim.Size(); err != nil {
		return err
	}
	if d.room < headSize {
		return errNoRoom(d.claim.Path(), d.room, headSize)
	}
	if err := d.judge(); err != nil {
		return err
	}
	var mark [headSize]byte
	copy(mark[:], unfinished)
	if _, err := d.file.WriteAt(mark[:], 0); err != nil {
		return err
	}
	return d.file.Sync()
}

// edge is how much of a device's beginning and end tells whether it is blank: file systems, volume managers, arrays and
// partition tables have their marks there, the last of them 512 KiB from the end (ZFS).
const edge = 1 << 20

// judge refuses a device that is neither blank nor one that we began.
func (d *deviceDraft) judge() error {
	const op = "make a disk"
	path := d.claim.Path()
	first := make([]byte, min(edge, d.room))
	if _, err := d.file.ReadAt(first, 0); err != nil {
		return err
	}
	if bytes.HasPrefix(first, []byte(unfinished)) {
		return nil
	}
	if sb, err := super.Read(bytes.NewReader(first)); err == nil {
		return &driver.Error{
			Class: driver.ErrExists, Op: op, Object: path, Err: fmt.Errorf("it holds an ext4 file system already, with the label %q", sb.Name()),
			Next: "use it as it is, or give up what is on it: wipefs -a " + path,
		}
	}
	last := make([]byte, len(first))
	if _, err := d.file.ReadAt(last, d.room-int64(len(last))); err != nil {
		return err
	}
	if zeros(first) && zeros(last) {
		return nil
	}
	return &driver.Error{
		Class: driver.ErrRefused, Op: op, Object: path, Err: errors.New("it is not blank, and not of our making"),
		Next: fmt.Sprintf("look at what is on it with blkid -p %s; to give that up: blkdiscard -z %s", path, path),
	}
}

func zeros(b []byte) bool { return len(bytes.TrimLeft(b, "\x00")) == 0 }

// WriteAt writes behind the head, and keeps what belongs to the head.
func (d *deviceDraft) WriteAt(p []byte, at int64) (int, error) {
	end := at + int64(len(p))
	if end > d.room {
		return 0, errNoRoom(d.claim.Path(), d.room, end)
	}
	if err := d.extend(at, end); err != nil {
		return 0, err
	}
	n := 0
	if at < headSize {
		d.mu.Lock()
		n = copy(d.head[at:], p)
		d.mu.Unlock()
	}
	if n == len(p) {
		return n, nil
	}
	k, err := d.file.WriteAt(p[n:], at+int64(n))
	return n + k, err
}

// extend makes the disk end bytes long, of which those from at on are about to be written.
func (d *deviceDraft) extend(at, end int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if end <= d.length {
		return nil
	}
	if err := d.zero(max(d.length, headSize), at); err != nil {
		return err
	}
	d.length = end
	return nil
}

// Truncate makes what it adds zero: a device holds whatever was written there before.
func (d *deviceDraft) Truncate(size int64) error {
	if size > d.room {
		return errNoRoom(d.claim.Path(), d.room, size)
	}
	if err := d.extend(size, size); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.length = size; size < headSize {
		clear(d.head[size:])
	}
	return nil
}

// zero makes the bytes from one place to another zero: by the device, which may do it without writing them, or by
// writing them where it can't.
func (d *deviceDraft) zero(from, to int64) error {
	if from >= to {
		return nil
	}
	err := unix.Fallocate(int(d.file.Fd()), unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, from, to-from)
	if err == nil || errors.Is(err, unix.EIO) || errors.Is(err, unix.ENOSPC) {
		return err
	}
	buf := make([]byte, min(to-from, edge))
	for from < to {
		n, err := d.file.WriteAt(buf[:min(to-from, int64(len(buf)))], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}

func (d *deviceDraft) Writeback(at, n int64) { writeback(d.file, at, n) }

// Publish writes the head when all else lies on the device.
func (d *deviceDraft) Publish() error {
	if err := d.file.Sync(); err != nil {
		return err
	}
	if _, err := d.file.WriteAt(d.head[:], 0); err != nil {
		return err
	}
	return d.file.Sync()
}

// Close lets go of the device.
func (d *deviceDraft) Close() error { return d.claim.Close() }
