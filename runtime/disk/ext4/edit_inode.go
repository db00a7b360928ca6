package ext4

import (
	"fmt"
	"time"

	"microagent/runtime/disk/ext4/super"
)

// inodeBytes is an inode's record, to be changed and then sealed.
func (e *Editor) inodeBytes(number uint32) ([]byte, error) {
	at, err := e.recordAt(number)
	if err != nil {
		return nil, err
	}
	b, err := e.edit(uint64(at / e.blockSize))
	if err != nil {
		return nil, err
	}
	return b[at%e.blockSize:][:e.super.InodeSize], nil
}

// sealInode writes a record's checksum.
func (e *Editor) sealInode(b []byte, number uint32) {
	if !e.csums() {
		return
	}
	wide := len(b) > 128 && le.Uint16(b[0x80:]) >= 4
	le.PutUint16(b[0x7C:], 0)
	if wide {
		le.PutUint16(b[0x82:], 0)
	}
	c := crc(inodeSeed(e.seed, number, le.Uint32(b[0x64:])), b)
	le.PutUint16(b[0x7C:], uint16(c))
	if wide {
		le.PutUint16(b[0x82:], uint16(c>>16))
	}
}

// putNew writes the record of a new inode.
func (e *Editor) putNew(number uint32, r *record) error {
	b, err := e.inodeBytes(number)
	if err != nil {
		return err
	}
	var whole [inodeSize]byte
	r.extra = inodeExtra
	r.put(whole[:], e.seed, number)
	clear(b)
	copy(b, whole[:])
	if !e.csums() {
		le.PutUint16(b[0x7C:], 0)
		if len(b) > 128 {
			le.PutUint16(b[0x82:], 0)
		}
	}
	e.sealInode(b, number)
	return nil
}

// newRecord is a record with its owner and times.
func (e *Editor) newRecord(kind uint32, attr Attr) record {
	m := stampOf(attr.Mtime)
	return record{
		mode: uint16(kind | attr.Mode&0o7777), uid: attr.UID, gid: attr.GID, links: 1,
		atime: m, mtime: m, ctime: e.now, btime: e.now, generation: e.now.nsec ^ uint32(e.now.sec),
	}
}

// touch sets times of change to now.
func (e *Editor) touch(b []byte, modified bool) {
	extra := 0
	if len(b) > 128 {
		extra = int(le.Uint16(b[0x80:]))
	}
	var spare [4]byte
	put := func(base, at int) {
		to := spare[:]
		if 128+extra >= at+4 {
			to = b[at:]
		}
		e.now.put(b[base:], to)
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
	e.now = stampOf(t)
	e.touch(b, true)
	e.now = now
	e.touch(b, false)
	e.sealInode(b, number)
	return nil
}

// setSectors writes how much an inode takes, in bytes.
func (e *Editor) setSectors(b []byte, bytes uint64) error {
	n := bytes / 512
	flags := le.Uint32(b[0x20:])
	if flags&inodeHuge != 0 {
		n = bytes / uint64(e.blockSize)
	}
	if n >= 1<<32 && e.super.ROCompat&super.HugeFile == 0 || n >= 1<<48 {
		return fmt.Errorf("%w: a file of %d bytes", ErrInvalid, bytes)
	}
	le.PutUint32(b[0x1C:], uint32(n))
	le.PutUint16(b[0x74:], uint16(n>>32))
	return nil
}
