package edit

import (
	"fmt"
	"time"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/super"
)

// inodeBytes is an inode's record, to be changed and then sealed.
func (e *Editor) inodeBytes(number uint32) ([]byte, error) {
	at, err := e.RecordAt(number)
	if err != nil {
		return nil, err
	}
	b, err := e.edit(uint64(at / e.BlockSize))
	if err != nil {
		return nil, err
	}
	return b[at%e.BlockSize:][:e.Super.InodeSize], nil
}

// sealInode writes a record's checksum.
func (e *Editor) sealInode(b []byte, number uint32) {
	if !e.Csums() {
		return
	}
	wide := len(b) > 128 && format.LE.Uint16(b[0x80:]) >= 4
	format.LE.PutUint16(b[0x7C:], 0)
	if wide {
		format.LE.PutUint16(b[0x82:], 0)
	}
	c := format.CRC(format.InodeSeed(e.Seed, number, format.LE.Uint32(b[0x64:])), b)
	format.LE.PutUint16(b[0x7C:], uint16(c))
	if wide {
		format.LE.PutUint16(b[0x82:], uint16(c>>16))
	}
}

// putNew writes the record of a new inode.
func (e *Editor) putNew(number uint32, r *format.Record) error {
	b, err := e.inodeBytes(number)
	if err != nil {
		return err
	}
	var whole [format.InodeSize]byte
	r.Extra = format.InodeExtra
	r.Put(whole[:], e.Seed, number)
	clear(b)
	copy(b, whole[:])
	if !e.Csums() {
		format.LE.PutUint16(b[0x7C:], 0)
		if len(b) > 128 {
			format.LE.PutUint16(b[0x82:], 0)
		}
	}
	e.sealInode(b, number)
	return nil
}

// newRecord is a record with its owner and times.
func (e *Editor) newRecord(kind uint32, attr ext4.Attr) format.Record {
	m := format.StampOf(attr.Mtime)
	return format.Record{
		Mode: uint16(kind | attr.Mode&0o7777), Uid: attr.UID, Gid: attr.GID, Links: 1,
		Atime: m, Mtime: m, Ctime: e.now, Btime: e.now, Generation: e.now.Nsec ^ uint32(e.now.Sec),
	}
}

// touch sets times of change to now.
func (e *Editor) touch(b []byte, modified bool) {
	extra := 0
	if len(b) > 128 {
		extra = int(format.LE.Uint16(b[0x80:]))
	}
	var spare [4]byte
	put := func(base, at int) {
		to := spare[:]
		if 128+extra >= at+4 {
			to = b[at:]
		}
		e.now.Put(b[base:], to)
	}
	put(0x0C, 0x84)
	if modified {
		put(0x10, 0x88)
	}
}

// SetTime gives an inode a time of modification.
func (e *Editor) SetTime(number uint32, t time.Time) error {
	b, err := e.inodeBytes(number)
	if err != nil {
		return err
	}
	now := e.now
	e.now = format.StampOf(t)
	e.touch(b, true)
	e.now = now
	e.touch(b, false)
	e.sealInode(b, number)
	return nil
}

// setSectors writes how much an inode takes, in bytes.
func (e *Editor) setSectors(b []byte, bytes uint64) error {
	n := bytes / 512
	flags := format.LE.Uint32(b[0x20:])
	if flags&format.InodeHuge != 0 {
		n = bytes / uint64(e.BlockSize)
	}
	if n >= 1<<32 && e.Super.ROCompat&super.HugeFile == 0 || n >= 1<<48 {
		return fmt.Errorf("%w: a file of %d bytes", ext4.ErrInvalid, bytes)
	}
	format.LE.PutUint32(b[0x1C:], uint32(n))
	format.LE.PutUint16(b[0x74:], uint16(n>>32))
	return nil
}
