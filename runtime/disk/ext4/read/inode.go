package read

import (
	"time"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
)

// Inode is what an inode says. It stays valid as long as the image does not change.
type Inode struct {
	Number       uint32
	Mode         uint32 // type and permissions: ModeDir | 0o755
	UID, GID     uint32
	Links        int
	Size         int64
	Atime, Ctime time.Time
	Mtime, Btime time.Time // Btime is the Unix epoch where the inode has no room for it
	Major, Minor uint32    // of a device

	Rec format.Record
}

// IsDir says whether it is a directory.
func (n *Inode) IsDir() bool { return n.Mode&ext4.ModeType == ext4.ModeDir }

// IsRegular says whether it is a regular file.
func (n *Inode) IsRegular() bool { return n.Mode&ext4.ModeType == ext4.ModeRegular }

// IsSymlink says whether it is a symlink.
func (n *Inode) IsSymlink() bool { return n.Mode&ext4.ModeType == ext4.ModeSymlink }

// RecordAt is the byte in the image where an inode's record lies.
func (f *FS) RecordAt(number uint32) (int64, error) {
	if number == 0 || number > f.Super.Inodes {
		return 0, format.Corruptf("inode number %d", number)
	}
	g, err := f.Group(uint64(number-1) / uint64(f.Super.InodesPerGroup))
	if err != nil {
		return 0, err
	}
	within := int64((number-1)%f.Super.InodesPerGroup) * int64(f.Super.InodeSize)
	if !f.Valid(g.InodeTable, uint64(within/f.BlockSize)+1) {
		return 0, format.Corruptf("inode table at block %d", g.InodeTable)
	}
	return int64(g.InodeTable)*f.BlockSize + within, nil
}

// Inode reads an inode that is in use.
func (f *FS) Inode(number uint32) (Inode, error) {
	at, err := f.RecordAt(number)
	if err != nil {
		return Inode{}, err
	}
	b := make([]byte, f.Super.InodeSize)
	if err := format.ReadFull(f.R, b, at); err != nil {
		return Inode{}, err
	}
	if f.Csums() && !format.InodeBytes(b).CsumOK(f.Seed, number) {
		return Inode{}, format.Corruptf("checksum of inode %d", number)
	}
	r := format.ParseRecord(b)
	n := Inode{
		Number: number, Mode: uint32(r.Mode), UID: r.Uid, GID: r.Gid, Links: int(r.Links), Size: int64(r.Size),
		Atime: r.Atime.Time(), Ctime: r.Ctime.Time(), Mtime: r.Mtime.Time(), Btime: r.Btime.Time(), Rec: r,
	}
	if r.Links == 0 || format.DirentTypes[r.Mode>>12] == 0 {
		return n, format.Corruptf("inode %d is not in use", number)
	}
	if n.Size < 0 {
		return n, format.Corruptf("inode %d has a size of %d", number, r.Size)
	}
	switch n.Mode & ext4.ModeType {
	case ext4.ModeChar, ext4.ModeBlock:
		n.Major, n.Minor = format.ParseDevice(&r.Block)
	case ext4.ModeDir:
		if n.Rec.Flags&format.InodeInline != 0 {
			break // its size is that of its names; who wants those is told in Extents
		}
		if n.Size > format.MaxDirSize || n.Size%f.BlockSize != 0 {
			return n, format.Corruptf("directory inode %d of %d bytes", number, n.Size)
		}
	}
	return n, nil
}

// Root is the root directory.
func (f *FS) Root() (Inode, error) {
	n, err := f.Inode(format.RootIno)
	if err == nil && !n.IsDir() {
		err = format.Corruptf("the root is no directory")
	}
	return n, err
}

// Readlink gives a symlink's target.
func (f *FS) Readlink(n Inode) (string, error) {
	if !n.IsSymlink() {
		return "", format.Corruptf("inode %d is no symlink", n.Number)
	}
	if n.Rec.Flags&format.InodeCrypt != 0 {
		return "", format.Unsupportedf("inode %d is encrypted", n.Number)
	}
	if n.Size <= 0 || n.Size >= min(f.BlockSize, ext4.BlockSize) {
		return "", format.Corruptf("symlink inode %d of %d bytes", n.Number, n.Size)
	}
	if n.Rec.Flags&format.InodeExtents == 0 && n.Size < int64(len(n.Rec.Block)) {
		return string(n.Rec.Block[:n.Size]), nil
	}
	file, err := f.File(n)
	if err != nil {
		return "", err
	}
	b := make([]byte, n.Size)
	if err := format.ReadFull(file, b, 0); err != nil {
		return "", err
	}
	return string(b), nil
}
