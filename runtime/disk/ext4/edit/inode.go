package edit

import (
	"fmt"
	"time"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/super"
)

// inodeBytes is an inode's record, to be changed and then sealed.
func (e *Editor) inodeBytes(number uint32) (format.InodeBytes, error) {
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
func (e *Editor) sealInode(b format.InodeBytes, number uint32) {
	if e.Csums() {
		b.Seal(e.Seed, number)
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
		b.Unseal()
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
func (e *Editor) touch(b format.InodeBytes, modified bool) {
	b.SetCtime(e.now)
	if modified {
		b.SetMtime(e.now)
	}
}

// SetTime gives an inode a time of modification.
func (e *Editor) SetTime(number uint32, t time.Time) error {
	b, err := e.inodeBytes(number)
	if err != nil {
		return err
	}
	b.SetMtime(format.StampOf(t))
	b.SetCtime(e.now)
	e.sealInode(b, number)
	return nil
}

// setSectors writes how much an inode takes, in bytes.
func (e *Editor) setSectors(b format.InodeBytes, bytes uint64) error {
	n := bytes / 512
	if b.Flags()&format.InodeHuge != 0 {
		n = bytes / uint64(e.BlockSize)
	}
	if n >= 1<<32 && e.Super.ROCompat&super.HugeFile == 0 || n >= 1<<48 {
		return fmt.Errorf("%w: a file of %d bytes", ext4.ErrInvalid, bytes)
	}
	b.SetSectors(n)
	return nil
}
