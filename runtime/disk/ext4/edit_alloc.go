package ext4

import (
	"fmt"
)

// errFull says that blocks or inodes ran out.
func errFull(what string) error { return fmt.Errorf("%w: no %s is free", ErrTooLarge, what) }

// take gives up to want blocks that lie together, near goal, at least the smaller one of want and least where there are
// so many. What the last commit has in use is not given, so that it can be written at once.
func (e *Editor) take(want, least, goal uint64) (run, error) {
	if goal <= uint64(e.super.FirstDataBlock) || goal >= e.super.Blocks {
		goal = uint64(e.super.FirstDataBlock) + 1
	}
	for _, least := range []uint64{min(want, least), 1} {
		from := goal - uint64(e.super.FirstDataBlock)
		for i := range e.FS.groups + 1 {
			n := (from/uint64(e.super.BlocksPerGroup) + i) % e.FS.groups
			g, err := e.groupFor(n)
			if err != nil {
				return run{}, err
			}
			if uint64(g.freeBlocks) < least {
				continue
			}
			if err := e.blockBitmap(n, g); err != nil {
				return run{}, err
			}
			begin := uint64(0)
			if i == 0 {
				begin = from % uint64(e.super.BlocksPerGroup)
			}
			start, count := freeRun(g.blocks, g.before, begin, uint64(g.count), least, want)
			if count == 0 {
				continue
			}
			r := run{g.first + start, count}
			if !e.valid(r.start, r.count) || uint64(g.freeBlocks) < count || e.super.FreeBlocks < count {
				return run{}, corruptf("free blocks of group %d", n)
			}
			setBits(g.blocks, start, start+count)
			g.freeBlocks -= uint32(count)
			e.super.FreeBlocks -= count
			g.changed = true
			return r, nil
		}
		e.least = 1 // the disk is in pieces: don't look for more again
	}
	return run{}, errFull("block")
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

// block1 gives one block for metadata.
func (e *Editor) block1(goal uint64) (uint64, error) {
	r, err := e.take(1, 1, goal)
	return r.start, err
}

// release gives blocks back. They can be had again after the next commit.
func (e *Editor) release(r run) error {
	if !e.valid(r.start, r.count) {
		return corruptf("blocks %d to %d", r.start, r.end())
	}
	if r.count > uint64(len(e.over.blocks)) {
		for n := range e.over.blocks {
			if n >= r.start && n < r.end() {
				delete(e.over.blocks, n)
			}
		}
	} else {
		for n := r.start; n < r.end(); n++ {
			delete(e.over.blocks, n)
		}
	}
	for r.count > 0 {
		n := (r.start - uint64(e.super.FirstDataBlock)) / uint64(e.super.BlocksPerGroup)
		g, err := e.groupFor(n)
		if err != nil {
			return err
		}
		if err := e.blockBitmap(n, g); err != nil {
			return err
		}
		count := min(r.count, g.first+uint64(g.count)-r.start)
		for i := r.start - g.first; i < r.start-g.first+count; i++ {
			if g.blocks[i/8]>>(i%8)&1 == 0 {
				return corruptf("block %d is free and in use", g.first+i)
			}
			g.blocks[i/8] &^= 1 << (i % 8)
		}
		g.freeBlocks += uint32(count)
		e.super.FreeBlocks += count
		g.changed = true
		r = run{r.start + count, r.count - count}
	}
	return nil
}

// newInode takes a number, near a group.
func (e *Editor) newInode(near uint64, dir bool) (uint32, error) {
	per := uint64(e.super.InodesPerGroup)
	for i := range e.FS.groups {
		n := (near + i) % e.FS.groups
		g, err := e.groupFor(n)
		if err != nil {
			return 0, err
		}
		if g.freeInodes == 0 {
			continue
		}
		if err := e.inodeBitmap(n, g); err != nil {
			return 0, err
		}
		begin := uint64(0)
		if first := uint64(max(e.super.FirstInode, firstIno)) - 1; n*per < first {
			begin = min(first-n*per, per)
		}
		at, count := freeRun(g.inodes, g.inodes, begin, per, 1, 1)
		if count == 0 {
			continue
		}
		number := n*per + at + 1
		if number > uint64(e.super.Inodes) || e.super.FreeInodes == 0 {
			return 0, corruptf("free inodes of group %d", n)
		}
		setBits(g.inodes, at, at+1)
		g.freeInodes--
		e.super.FreeInodes--
		if dir {
			g.usedDirs++
		}
		if e.csums() {
			g.unusedInodes = min(g.unusedInodes, uint32(per-at-1))
		}
		g.changed = true
		return uint32(number), nil
	}
	return 0, errFull("inode")
}

// freeInode gives a number back.
func (e *Editor) freeInode(number uint32) error {
	n, at := uint64(number-1)/uint64(e.super.InodesPerGroup), uint64(number-1)%uint64(e.super.InodesPerGroup)
	g, err := e.groupFor(n)
	if err != nil {
		return err
	}
	if err := e.inodeBitmap(n, g); err != nil {
		return err
	}
	if number < firstIno || g.inodes[at/8]>>(at%8)&1 == 0 {
		return corruptf("inode %d is free and in use", number)
	}
	clearBits(g.inodes, at, at+1)
	g.freeInodes++
	e.super.FreeInodes++
	g.changed = true
	return nil
}
