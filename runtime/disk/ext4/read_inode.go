package ext4

import (
	"time"
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

	rec record
}

// IsDir says whether it is a directory.
func (n *Inode) IsDir() bool { return n.Mode&ModeType == ModeDir }

// IsRegular says whether it is a regular file.
func (n *Inode) IsRegular() bool { return n.Mode&ModeType == ModeRegular }

// IsSymlink says whether it is a symlink.
func (n *Inode) IsSymlink() bool { return n.Mode&ModeType == ModeSymlink }

// recordAt is the byte in the image where an inode's record lies.
func (f *FS) recordAt(number uint32) (int64, error) {
	if number == 0 || number > f.super.Inodes {
		return 0, corruptf("inode number %d", number)
	}
	g, err := f.group(uint64(number-1) / uint64(f.super.InodesPerGroup))
	if err != nil {
		return 0, err
	}
	within := int64((number-1)%f.super.InodesPerGroup) * int64(f.super.InodeSize)
	if !f.valid(g.inodeTable, uint64(within/f.blockSize)+1) {
		return 0, corruptf("inode table at block %d", g.inodeTable)
	}
	return int64(g.inodeTable)*f.blockSize + within, nil
}

// Inode reads an inode that is in use.
func (f *FS) Inode(number uint32) (Inode, error) {
	at, err := f.recordAt(number)
	if err != nil {
		return Inode{}, err
	}
	b := make([]byte, f.super.InodeSize)
	if err := readFull(f.r, b, at); err != nil {
		return Inode{}, err
	}
	if f.csums() && !recordCsumOK(b, f.seed, number) {
		return Inode{}, corruptf("checksum of inode %d", number)
	}
	r := parseRecord(b)
	n := Inode{
		Number: number, Mode: uint32(r.mode), UID: r.uid, GID: r.gid, Links: int(r.links), Size: int64(r.size),
		Atime: r.atime.time(), Ctime: r.ctime.time(), Mtime: r.mtime.time(), Btime: r.btime.time(), rec: r,
	}
	if r.links == 0 || direntTypes[r.mode>>12] == 0 {
		return n, corruptf("inode %d is not in use", number)
	}
	if n.Size < 0 {
		return n, corruptf("inode %d has a size of %d", number, r.size)
	}
	switch n.Mode & ModeType {
	case ModeChar, ModeBlock:
		n.Major, n.Minor = parseDevice(&r.block)
	case ModeDir:
		if n.rec.flags&inodeInline != 0 {
			break // its size is that of its names; who wants those is told in Extents
		}
		if n.Size > maxDirSize || n.Size%f.blockSize != 0 {
			return n, corruptf("directory inode %d of %d bytes", number, n.Size)
		}
	}
	return n, nil
}

// Root is the root directory.
func (f *FS) Root() (Inode, error) {
	n, err := f.Inode(rootIno)
	if err == nil && !n.IsDir() {
		err = corruptf("the root is no directory")
	}
	return n, err
}

// Readlink gives a symlink's target.
func (f *FS) Readlink(n Inode) (string, error) {
	if !n.IsSymlink() {
		return "", corruptf("inode %d is no symlink", n.Number)
	}
	if n.rec.flags&inodeCrypt != 0 {
		return "", unsupportedf("inode %d is encrypted", n.Number)
	}
	if n.Size <= 0 || n.Size >= min(f.blockSize, BlockSize) {
		return "", corruptf("symlink inode %d of %d bytes", n.Number, n.Size)
	}
	if n.rec.flags&inodeExtents == 0 && n.Size < int64(len(n.rec.block)) {
		return string(n.rec.block[:n.Size]), nil
	}
	file, err := f.File(n)
	if err != nil {
		return "", err
	}
	b := make([]byte, n.Size)
	if err := readFull(file, b, 0); err != nil {
		return "", err
	}
	return string(b), nil
}
