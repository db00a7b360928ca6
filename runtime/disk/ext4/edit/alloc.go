package edit

import (
	"fmt"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
)

// errFull says that blocks or inodes ran out.
func errFull(what string) error { return fmt.Errorf("%w: no %s is free", ext4.ErrTooLarge, what) }

// take gives up to want blocks that lie together, near goal, at least the smaller one of want and least where there are
// so many. What the last commit has in use is not given, so that it can be written at once.
func (e *Editor) take(want, least, goal uint64) (format.Run, error) {
	if goal <= uint64(e.Super.FirstDataBlock) || goal >= e.Super.Blocks {
		goal = uint64(e.Super.FirstDataBlock) + 1
	}
	for _, least := range []uint64{min(want, least), 1} {
		from := goal - uint64(e.Super.FirstDataBlock)
		for i := range e.FS.Groups + 1 {
			n := (from/uint64(e.Super.BlocksPerGroup) + i) % e.FS.Groups
			g, err := e.groupFor(n)
			if err != nil {
				return format.Run{}, err
			}
			if uint64(g.FreeBlocks) < least {
				continue
			}
			if err := e.blockBitmap(n, g); err != nil {
				return format.Run{}, err
			}
			begin := uint64(0)
			if i == 0 {
				begin = from % uint64(e.Super.BlocksPerGroup)
			}
			start, count := freeRun(g.blocks, g.before, begin, uint64(g.count), least, want)
			if count == 0 {
				continue
			}
			r := format.Run{Start: g.first + start, Count: count}
			if !e.Valid(r.Start, r.Count) || uint64(g.FreeBlocks) < count || e.Super.FreeBlocks < count {
				return format.Run{}, format.Corruptf("free blocks of group %d", n)
			}
			format.SetBits(g.blocks, start, start+count)
			g.FreeBlocks -= uint32(count)
			e.Super.FreeBlocks -= count
			g.changed = true
			return r, nil
		}
		e.least = 1 // the disk is in pieces: don't look for more again
	}
	return format.Run{}, errFull("block")
}

// freeRun finds the first run of least bits or more that are clear in both bitmaps, cut to want.
func freeRun(a, b []byte, from, end, least, want uint64) (start, count uint64) {
	for at := from; at < end; {
		if at%8 == 0 && a[at/8]|b[at/8] == 0xFF {
			at += 8
			count = 0
			continue
		}
		if (a[at/8]|b[at/8])>>(at%8)&1 != 0 {
			at, count = at+1, 0
			continue
		}
		if count == 0 {
			start = at
		}
		step := uint64(1)
		if at%8 == 0 && at+8 <= end && a[at/8]|b[at/8] == 0 {
			step = 8
		}
		at, count = at+step, count+step
		if count >= want {
			return start, want
		}
		if at < end && (a[at/8]|b[at/8])>>(at%8)&1 == 0 {
			continue
		}
		if count >= least {
			return start, count
		}
	}
	return 0, 0
}

// takeBlock gives one block for metadata.
func (e *Editor) takeBlock(goal uint64) (uint64, error) {
	r, err := e.take(1, 1, goal)
	return r.Start, err
}

// release gives blocks back. They can be had again after the next commit.
func (e *Editor) release(r format.Run) error {
	if !e.Valid(r.Start, r.Count) {
		return format.Corruptf("blocks %d to %d", r.Start, r.End())
	}
	if r.Count > uint64(len(e.over.Blocks)) {
		for n := range e.over.Blocks {
			if n >= r.Start && n < r.End() {
				delete(e.over.Blocks, n)
			}
		}
	} else {
		for n := r.Start; n < r.End(); n++ {
			delete(e.over.Blocks, n)
		}
	}
	for r.Count > 0 {
		n := (r.Start - uint64(e.Super.FirstDataBlock)) / uint64(e.Super.BlocksPerGroup)
		g, err := e.groupFor(n)
		if err != nil {
			return err
		}
		if err := e.blockBitmap(n, g); err != nil {
			return err
		}
		count := min(r.Count, g.first+uint64(g.count)-r.Start)
		for i := r.Start - g.first; i < r.Start-g.first+count; i++ {
			if g.blocks[i/8]>>(i%8)&1 == 0 {
				return format.Corruptf("block %d is free and in use", g.first+i)
			}
			g.blocks[i/8] &^= 1 << (i % 8)
		}
		g.FreeBlocks += uint32(count)
		e.Super.FreeBlocks += count
		g.changed = true
		r = format.Run{Start: r.Start + count, Count: r.Count - count}
	}
	return nil
}

// newInode takes a number, near a group.
func (e *Editor) newInode(near uint64, dir bool) (uint32, error) {
	per := uint64(e.Super.InodesPerGroup)
	for i := range e.FS.Groups {
		n := (near + i) % e.FS.Groups
		g, err := e.groupFor(n)
		if err != nil {
			return 0, err
		}
		if g.FreeInodes == 0 {
			continue
		}
		if err := e.inodeBitmap(n, g); err != nil {
			return 0, err
		}
		begin := uint64(0)
		if first := uint64(max(e.Super.FirstInode, format.FirstIno)) - 1; n*per < first {
			begin = min(first-n*per, per)
		}
		at, count := freeRun(g.inodes, g.inodes, begin, per, 1, 1)
		if count == 0 {
			continue
		}
		number := n*per + at + 1
		if number > uint64(e.Super.Inodes) || e.Super.FreeInodes == 0 {
			return 0, format.Corruptf("free inodes of group %d", n)
		}
		format.SetBits(g.inodes, at, at+1)
		g.FreeInodes--
		e.Super.FreeInodes--
		if dir {
			g.UsedDirs++
		}
		if e.Csums() {
			g.UnusedInodes = min(g.UnusedInodes, uint32(per-at-1))
		}
		g.changed = true
		return uint32(number), nil
	}
	return 0, errFull("inode")
}

// freeInode gives a number back.
func (e *Editor) freeInode(number uint32) error {
	n, at := uint64(number-1)/uint64(e.Super.InodesPerGroup), uint64(number-1)%uint64(e.Super.InodesPerGroup)
	g, err := e.groupFor(n)
	if err != nil {
		return err
	}
	if err := e.inodeBitmap(n, g); err != nil {
		return err
	}
	if number < format.FirstIno || g.inodes[at/8]>>(at%8)&1 == 0 {
		return format.Corruptf("inode %d is free and in use", number)
	}
	format.ClearBits(g.inodes, at, at+1)
	g.FreeInodes++
	e.Super.FreeInodes++
	g.changed = true
	return nil
}
