// Package build makes ext4 file systems, without root and without a kernel: one pass over the input, content straight to
// its final blocks, metadata at the end. The same calls and options give the same bytes on every host. What is finished
// passes e2fsck -fn and mounts; an error leaves a file that holds no valid superblock.
package build

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
)

// Output is what a Builder writes to: a file, or a draft of runtime/disk/target. It reads as zeros where nothing was
// written.
type Output interface {
	io.WriterAt
	Truncate(size int64) error
}

// Builder makes one file system in an empty file. Paths are slash-separated, relative to the root; symlinks
// in their parents are followed inside the tree, missing parents are made (0755, owner 0). What has the path
// already is replaced. Its methods must not be called at the same time; after an error only Close helps.
type Builder struct {
	opt     Options
	geo     geometry
	alloc   allocator
	out     *stream
	file    Output
	root    *inode
	inodes  []*inode // in the order they were made, dropped ones included
	fresh   []inode  // that are made and not used yet
	extents []format.Extent
	near    near
	live    uint64 // inodes with a name
	layer   uint32
	seed    uint32
	hash    [4]uint32
	journal []format.Extent
	dropped bool
	scratch []byte
}

// New begins a file system in f, which must be empty. An Output that can Discard is given back what replaced files left
// behind, and one that knows Writeback is told what will not change any more.
func New(f Output, opt Options) (*Builder, error) {
	if len(opt.Label) > 16 {
		return nil, fmt.Errorf("%w: label %q is longer than 16 bytes", ext4.ErrInvalid, opt.Label)
	}
	if opt.Journal && opt.Size == 0 {
		return nil, fmt.Errorf("%w: a journal needs a size", ext4.ErrInvalid)
	}
	if opt.BytesPerInode == 0 {
		opt.BytesPerInode = 16384
	}
	geo, err := newGeometry(opt)
	if err != nil {
		return nil, err
	}
	for _, size := range []int64{0, opt.Size} { // the host says at once when it holds no such file
		if err := f.Truncate(size); err != nil {
			return nil, err
		}
	}
	b := &Builder{opt: opt, geo: geo, alloc: newAllocator(geo.descBlocks), file: f}
	b.Identify(opt.UUID, opt.HashSeed)
	b.root = &inode{mode: ext4.ModeDir | 0o755, mtime: format.StampOf(opt.Time), num: format.RootIno, links: 1,
		folder: &folder{children: map[string]entry{}}, special: plain}
	b.root.parent = b.root
	for logical := uint32(0); uint64(logical) < geo.journal; {
		r := b.alloc.take(min(geo.journal-uint64(logical), format.ExtentMaxLen))
		b.journal = format.AppendBlocks(b.journal, logical, r.Start, uint32(r.Count))
		logical += uint32(r.Count)
	}
	b.out = newStream(f, geo.limit())
	return b, nil
}

// Identify sets UUID and hash seed, if they are known only after the content was seen.
func (b *Builder) Identify(uuid, hashSeed [16]byte) {
	b.opt.UUID, b.opt.HashSeed = uuid, hashSeed
	b.seed = format.CRC(^uint32(0), uuid[:])
	for i := range b.hash {
		b.hash[i] = format.LE.Uint32(hashSeed[4*i:])
	}
}

// Close ends the builder's work on the file. It is needed after errors and harmless after Finish.
func (b *Builder) Close() { _ = b.out.close() }

// NextLayer begins a layer: Whiteout and Opaque act on what was there before.
func (b *Builder) NextLayer() { b.layer++ }

// Entries is how many inodes the tree has, the root not counted.
func (b *Builder) Entries() int { return int(b.live) }

// Mkdir makes a directory, or gives the one that is there new attributes. The path "." is the root.
func (b *Builder) Mkdir(path string, attr ext4.Attr) error {
	xattrs, err := format.EncodeXattrs(attr.Xattrs)
	if err != nil {
		return err
	}
	n := b.root
	if len(format.SplitPath(path)) > 0 {
		dir, name, err := b.locate(path, true)
		if err != nil {
			return err
		}
		old, ok := dir.children[name]
		if ok && old.isDir() {
			n = old.inode
			dir.children[name] = entry{n, b.layer}
		} else {
			if ok {
				b.detach(dir, name)
			}
			n = b.newInode(ext4.ModeDir, attr)
			n.folder = &folder{children: map[string]entry{}}
			b.attach(dir, name, n)
		}
	}
	n.mode = ext4.ModeDir | uint16(attr.Mode&0o7777)
	n.uid, n.gid, n.mtime = attr.UID, attr.GID, format.StampOf(attr.Mtime)
	n.setXattrs(xattrs)
	return nil
}

// put makes an inode of a kind at path.
func (b *Builder) put(path string, kind uint16, attr ext4.Attr) (*inode, error) {
	xattrs, err := format.EncodeXattrs(attr.Xattrs)
	if err != nil {
		return nil, err
	}
	dir, name, err := b.locate(path, true)
	if err != nil {
		return nil, err
	}
	if _, ok := dir.children[name]; ok {
		b.detach(dir, name)
	}
	n := b.newInode(kind|uint16(attr.Mode&0o7777), attr)
	n.setXattrs(xattrs)
	b.attach(dir, name, n)
	return n, nil
}

// holes is what content has that can be read without its holes; runtime/disk/sparse says how.
type holes interface{ Skip() (int64, error) }

// File makes a regular file of size bytes out of r. Blocks of zeros become holes; where r passes over its own, they are
// not even read.
func (b *Builder) File(path string, attr ext4.Attr, size int64, r io.Reader) error {
	if size < 0 || size > ext4.MaxFileSize {
		return fmt.Errorf("%w: file of %d bytes", ext4.ErrInvalid, size)
	}
	n, err := b.put(path, ext4.ModeRegular, attr)
	if err != nil {
		return err
	}
	n.size = size
	source, sparse := r.(holes)
	for pos := int64(0); pos < size; {
		lead := int64(0) // zeros of a hole that ends within a block
		if sparse {
			skipped, err := source.Skip()
			if err != nil {
				return err
			}
			pos = min(pos+skipped, size)
			lead = pos % ext4.BlockSize
		}
		buf := b.out.space()
		want := min(int64(len(buf))&^(ext4.BlockSize-1), lead+size-pos)
		clear(buf[:lead])
		read, err := readContent(r, buf[lead:want], lead, sparse)
		if err != nil {
			return err
		}
		filled := lead + read
		whole := (filled + ext4.BlockSize - 1) &^ (ext4.BlockSize - 1)
		clear(buf[filled:whole])
		if err := b.blocks(n, uint32((pos-lead)/ext4.BlockSize), buf[:whole]); err != nil {
			return err
		}
		pos += read
	}
	return nil
}

// readContent fills p, which begins lead bytes behind the start of a block. Of a source with holes it reads up to the
// next one, and on to the end of the block that this begins in.
func readContent(r io.Reader, p []byte, lead int64, sparse bool) (int64, error) {
	n, err := 0, error(nil)
	if sparse && len(p) > 0 {
		if n, err = io.ReadAtLeast(r, p, 1); err == nil {
			p = p[:min(int64(len(p)), (lead+int64(n)+ext4.BlockSize-1)&^(ext4.BlockSize-1)-lead)]
		}
	}
	if err == nil {
		var more int
		more, err = io.ReadFull(r, p[n:])
		n += more
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return int64(n), err
}

var zeros [ext4.BlockSize]byte

func zeroBlock(b []byte) bool { return b[0] == 0 && bytes.Equal(b, zeros[:]) }

// blocks stores data, whole blocks that lie in the stream's own space, at logical.
func (b *Builder) blocks(n *inode, logical uint32, data []byte) error {
	for len(data) > 0 {
		count := dataRun(data)
		if count == 0 {
			logical++
			data = data[ext4.BlockSize:]
			continue
		}
		r := b.alloc.take(uint64(count))
		size := int(r.Count) * ext4.BlockSize
		if !b.out.owns(data) || size < len(data) || !b.out.next(r.Start) {
			data = b.copyAside(data)
		}
		if err := b.out.write(r.Start, data[:size]); err != nil {
			return err
		}
		if n.extents == nil {
			n.extents = b.firstExtent()
		}
		n.extents = format.AppendBlocks(n.extents, logical, r.Start, uint32(r.Count))
		logical += uint32(r.Count)
		data = data[size:]
	}
	return nil
}

// dataRun counts the blocks before the first that is all zeros.
func dataRun(data []byte) (blocks int) {
	for ; len(data) > 0 && !zeroBlock(data[:ext4.BlockSize]); data = data[ext4.BlockSize:] {
		blocks++
	}
	return blocks
}

// copyAside copies data out of the stream's space, once.
func (b *Builder) copyAside(data []byte) []byte {
	if len(b.scratch) > 0 && len(data) > 0 && &b.scratch[len(b.scratch)-1] == &data[len(data)-1] {
		return data
	}
	b.scratch = append(b.scratch[:0], data...)
	return b.scratch
}

// Symlink makes a symlink of at most 4095 bytes.
func (b *Builder) Symlink(path, target string, attr ext4.Attr) error {
	if target == "" || len(target) >= ext4.BlockSize {
		return fmt.Errorf("%w: symlink with a target of %d bytes", ext4.ErrInvalid, len(target))
	}
	attr.Mode = 0o777
	n, err := b.put(path, ext4.ModeSymlink, attr)
	if err != nil {
		return err
	}
	n.own().target, n.size = target, int64(len(target))
	if len(target) < 60 {
		return nil
	}
	data := make([]byte, ext4.BlockSize)
	copy(data, target)
	r := b.alloc.take(1)
	n.extents = format.AppendBlocks(nil, 0, r.Start, 1)
	return b.out.write(r.Start, data)
}

// Link gives the inode at target, which is not followed, one more name. fs.ErrNotExist when there is none.
func (b *Builder) Link(path, target string) error {
	from, name, err := b.locate(target, false)
	if err != nil {
		return err
	}
	old, ok := from.children[name]
	switch {
	case !ok:
		return fmt.Errorf("hard link to %s: %w", target, fs.ErrNotExist)
	case old.isDir():
		return fmt.Errorf("%w: hard link to directory %s", ext4.ErrInvalid, target)
	case old.links >= format.MaxLinks:
		return fmt.Errorf("%w: more than %d hard links to %s", ext4.ErrInvalid, format.MaxLinks, target)
	}
	dir, name, err := b.locate(path, true)
	if err != nil {
		return err
	}
	if have, ok := dir.children[name]; ok {
		if have.inode == old.inode {
			dir.children[name] = entry{have.inode, b.layer}
			return nil
		}
		b.detach(dir, name)
		if old.links == 0 {
			return fmt.Errorf("%w: hard link in the place of its target's directory", ext4.ErrInvalid)
		}
	}
	b.attach(dir, name, old.inode)
	return nil
}

// Device makes a character or block device, a FIFO or a socket, by kind (ModeChar, ...).
func (b *Builder) Device(path string, kind, major, minor uint32, attr ext4.Attr) error {
	switch kind {
	case ext4.ModeFIFO, ext4.ModeSocket:
		major, minor = 0, 0
	case ext4.ModeChar, ext4.ModeBlock:
		if major > 0xFFF || minor > 0xFFFFF {
			return fmt.Errorf("%w: device number %d:%d", ext4.ErrInvalid, major, minor)
		}
	default:
		return fmt.Errorf("%w: device of kind %#x", ext4.ErrInvalid, kind)
	}
	n, err := b.put(path, uint16(kind), attr)
	if err != nil {
		return err
	}
	n.own().device = [2]uint32{major, minor}
	return nil
}

// Remove takes path away with all below it. fs.ErrNotExist when it is not there.
func (b *Builder) Remove(path string) error {
	dir, name, err := b.locate(path, false)
	if err != nil {
		return err
	}
	if _, ok := dir.children[name]; !ok {
		return fs.ErrNotExist
	}
	b.detach(dir, name)
	return nil
}

// Whiteout hides what earlier layers have at path. What this layer put there, before or after, stays. A path
// that is not there is fine.
func (b *Builder) Whiteout(path string) error {
	dir, name, err := b.locate(path, false)
	if err != nil {
		return ignoreNotExist(err)
	}
	e, ok := dir.children[name]
	if !ok {
		return nil
	}
	below := e.isDir() && b.clearBelow(e.inode)
	switch {
	case e.layer == b.layer:
	case below:
		b.unnamed(dir, name)
	default:
		b.detach(dir, name)
	}
	return nil
}

// Own says whether the layer that is being applied put something at path.
func (b *Builder) Own(path string) bool {
	dir, name, err := b.locate(path, false)
	if err != nil {
		return false
	}
	e, ok := dir.children[name]
	return ok && e.layer == b.layer
}

// Opaque hides what earlier layers have below the directory at path.
func (b *Builder) Opaque(path string) error {
	n, err := b.walk(format.SplitPath(path), true, false)
	if err != nil {
		return ignoreNotExist(err)
	}
	if n.isDir() {
		b.clearBelow(n)
	}
	return nil
}

func ignoreNotExist(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
