package build

import (
	"fmt"
	"io/fs"
	"strings"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
)

// inode is an inode of the tree being built. There may be millions: what only some have lies apart.
type inode struct {
	mode     uint16
	uid, gid uint32
	links    uint32 // names; for a directory: of its own entry
	num      uint32
	mtime    format.Stamp
	size     int64
	extents  []format.Extent
	*folder  // of a directory, nil of others
	*special // plain where there is nothing of it; who writes to it asks own
}

// folder is what a directory has.
type folder struct {
	parent   *inode
	children map[string]entry
	subdirs  uint32
	indexed  bool
}

// special is what few inodes have.
type special struct {
	device     [2]uint32
	target     string
	xattrs     []format.Xattr
	root       *[60]byte // of the extent tree, when it has more than one level or lies in a directory
	metaBlocks uint64
	xattrBlock uint64
}

// plain is that of all who have nothing of it. It is never written to.
var plain = &special{}

// own gives the inode a special of its own.
func (n *inode) own() *special {
	if n.special == plain {
		n.special = &special{}
	}
	return n.special
}

// setXattrs gives the inode these and no other extended attributes.
func (n *inode) setXattrs(list []format.Xattr) {
	if len(list) > 0 || len(n.xattrs) > 0 {
		n.own().xattrs = list
	}
}

// entry is a name in a directory and the layer that said it last.
type entry struct {
	*inode
	layer uint32
}

func (n *inode) isDir() bool { return n.mode&ext4.ModeType == ext4.ModeDir }

// walk follows path from dir on, symlinks inside the tree. The last component is followed only with follow.
// Missing directories are made when create is set, which also applies to what a symlink points to.
func (b *Builder) walk(parts []string, follow, create bool) (*inode, error) {
	n := b.root
	links := 0
	for len(parts) > 0 {
		name := parts[0]
		parts = parts[1:]
		if !n.isDir() {
			return nil, fmt.Errorf("%w: a parent is not a directory", ext4.ErrInvalid)
		}
		if name == ".." {
			n = n.parent
			continue
		}
		have, ok := n.children[name]
		child := have.inode
		if !ok {
			if !create {
				return nil, fs.ErrNotExist
			}
			if err := checkName(name); err != nil {
				return nil, err
			}
			child = b.newInode(ext4.ModeDir|0o755, ext4.Attr{Mode: 0o755, Mtime: b.opt.Time})
			child.folder = &folder{children: map[string]entry{}}
			b.attach(n, name, child)
		}
		if child.mode&ext4.ModeType == ext4.ModeSymlink && (len(parts) > 0 || follow) {
			if links++; links > format.MaxSymlinks {
				return nil, format.ErrLoop
			}
			if strings.HasPrefix(child.target, "/") {
				n = b.root
			}
			parts = append(format.SplitPath(child.target), parts...)
			continue
		}
		n = child
	}
	return n, nil
}

// locate finds the directory of path's last component, which must not be ".." or empty, and makes what is
// missing on the way. What lies in one directory is mostly asked for one after another.
func (b *Builder) locate(path string, create bool) (dir *inode, name string, err error) {
	slash := strings.LastIndexByte(path, '/') + 1
	if name = path[slash:]; b.near.dir != nil && path[:slash] == b.near.path && name != "" && name != "." && name != ".." {
		return b.near.dir, name, checkName(name)
	}
	dir, name, err = b.search(path, create)
	if err == nil && name == path[slash:] {
		b.near = near{path[:slash], dir}
	}
	return dir, name, err
}

// near is a directory that was found, with the path that led to it. It holds until a name is taken away.
type near struct {
	path string // up to and with its last slash
	dir  *inode
}

// search is locate of what is not near.
func (b *Builder) search(path string, create bool) (dir *inode, name string, err error) {
	parts := format.SplitPath(path)
	if len(parts) == 0 {
		return nil, "", fmt.Errorf("%w: the root can't be this", ext4.ErrInvalid)
	}
	name = parts[len(parts)-1]
	if name == ".." {
		return nil, "", fmt.Errorf("%w: .. can't be the last name of a path", ext4.ErrInvalid)
	}
	if err := checkName(name); err != nil {
		return nil, "", err
	}
	dir, err = b.walk(parts[:len(parts)-1], true, create)
	if err != nil {
		return nil, "", err
	}
	if !dir.isDir() {
		return nil, "", fmt.Errorf("%w: a parent is not a directory", ext4.ErrInvalid)
	}
	return dir, name, nil
}

func checkName(name string) error {
	if len(name) > format.MaxName {
		return fmt.Errorf("%w: name is longer than %d bytes", ext4.ErrInvalid, format.MaxName)
	}
	if strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("%w: name with a NUL byte", ext4.ErrInvalid)
	}
	return nil
}

func (b *Builder) newInode(mode uint16, attr ext4.Attr) *inode {
	if len(b.fresh) == 0 {
		b.fresh = make([]inode, atOnce)
	}
	n := &b.fresh[0]
	b.fresh = b.fresh[1:]
	*n = inode{mode: mode, uid: attr.UID, gid: attr.GID, mtime: format.StampOf(attr.Mtime), special: plain}
	b.inodes = append(b.inodes, n)
	return n
}

// atOnce is how many inodes, and first extents of files, are made at once: all of them stay until the end.
const atOnce = 64

// firstExtent is room for the one extent that most files have.
func (b *Builder) firstExtent() []format.Extent {
	if len(b.extents) == 0 {
		b.extents = make([]format.Extent, atOnce)
	}
	room := b.extents[:0:1]
	b.extents = b.extents[1:]
	return room
}

// attach gives n a name in dir; the name must be free.
func (b *Builder) attach(dir *inode, name string, n *inode) {
	dir.children[name] = entry{n, b.layer}
	n.links++
	if n.links == 1 {
		b.live++
	}
	if n.isDir() {
		n.parent = dir
		dir.subdirs++
	}
}

// detach takes a name away, and with the last name the inode and all below it.
func (b *Builder) detach(dir *inode, name string) {
	n := dir.children[name].inode
	b.near = near{}
	delete(dir.children, name)
	n.links--
	if n.isDir() {
		dir.subdirs--
		for child := range n.children {
			b.detach(n, child)
		}
	}
	if n.links == 0 {
		b.live--
		b.drop(n)
	}
}

// drop gives an inode's blocks back.
func (b *Builder) drop(n *inode) {
	for _, e := range n.extents {
		b.alloc.release(format.Run{Start: e.Phys, Count: uint64(e.Count)})
		b.dropped = true
	}
	n.extents, n.special = nil, plain
	if n.folder != nil {
		n.children = nil
	}
}

// clearBelow removes what earlier layers put below dir and says whether anything of this layer is left.
func (b *Builder) clearBelow(dir *inode) bool {
	left := false
	for name, e := range dir.children {
		keep := e.layer == b.layer
		switch {
		case e.isDir() && b.clearBelow(e.inode):
			left = true
			if !keep {
				b.unnamed(dir, name)
			}
		case keep:
			left = true
		default:
			b.detach(dir, name)
		}
	}
	return left
}

// unnamed makes the directory name in dir one that this layer made by what it put below it: what earlier layers said
// of it is hidden.
func (b *Builder) unnamed(dir *inode, name string) {
	n := dir.children[name].inode
	n.mode, n.uid, n.gid, n.mtime = ext4.ModeDir|0o755, 0, 0, format.StampOf(b.opt.Time)
	n.setXattrs(nil)
	dir.children[name] = entry{n, b.layer}
}
