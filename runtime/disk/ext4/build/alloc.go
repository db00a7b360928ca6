package build

import (
	"sort"

	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/super"
)

// allocator hands out blocks from the front to the back, first what was given back. Blocks below next are in
// use unless free lists them; from next on only copies of the superblock and descriptors are.
type allocator struct {
	reserve uint64 // blocks that each copy takes: superblock and descriptors
	next    uint64
	barrier uint64       // start of the first group that has a copy and was not passed
	free    []format.Run // sorted, never adjacent, below next
}

func newAllocator(descBlocks uint64) allocator {
	return allocator{reserve: 1 + descBlocks}
}

// skip moves next over a copy of the superblock that it has come to, and finds the next barrier.
func (a *allocator) skip() {
	for a.next == a.barrier {
		a.next += a.reserve
		g := a.barrier/format.BlocksPerGroup + 1
		for !super.Sparse(g) {
			g++
		}
		a.barrier = g * format.BlocksPerGroup
	}
}

// take gives up to want blocks that lie together.
func (a *allocator) take(want uint64) format.Run {
	if len(a.free) > 0 {
		r := a.free[0]
		if r.Count <= want {
			a.free = a.free[1:]
			return r
		}
		a.free[0] = format.Run{Start: r.Start + want, Count: r.Count - want}
		return format.Run{Start: r.Start, Count: want}
	}
	a.skip()
	r := format.Run{Start: a.next, Count: min(want, a.barrier-a.next)}
	a.next += r.Count
	return r
}

// together gives n blocks in one run; n is less than a group without its copy.
func (a *allocator) together(n uint64) uint64 {
	for i, r := range a.free {
		if r.Count < n {
			continue
		}
		if r.Count == n {
			a.free = append(a.free[:i], a.free[i+1:]...)
		} else {
			a.free[i] = format.Run{Start: r.Start + n, Count: r.Count - n}
		}
		return r.Start
	}
	a.skip()
	if left := a.barrier - a.next; left < n {
		gap := format.Run{Start: a.next, Count: left}
		a.next += left
		a.skip()
		a.release(gap)
	}
	start := a.next
	a.next += n
	return start
}

// release gives blocks back.
func (a *allocator) release(r format.Run) {
	if r.Count == 0 {
		return
	}
	i := sort.Search(len(a.free), func(i int) bool { return a.free[i].Start > r.Start })
	if i > 0 && a.free[i-1].End() == r.Start {
		a.free[i-1].Count += r.Count
		if i < len(a.free) && a.free[i].Start == a.free[i-1].End() {
			a.free[i-1].Count += a.free[i].Count
			a.free = append(a.free[:i], a.free[i+1:]...)
		}
		return
	}
	if i < len(a.free) && r.End() == a.free[i].Start {
		a.free[i] = format.Run{Start: r.Start, Count: r.Count + a.free[i].Count}
		return
	}
	a.free = append(a.free, format.Run{})
	copy(a.free[i+1:], a.free[i:])
	a.free[i] = r
}

// shrink makes every copy smaller and gives back what it no longer needs.
func (a *allocator) shrink(descBlocks uint64) {
	old := a.reserve
	a.reserve = 1 + descBlocks
	for g := uint64(0); g*format.BlocksPerGroup < a.next; g++ {
		if super.Sparse(g) {
			a.release(format.Run{Start: g*format.BlocksPerGroup + a.reserve, Count: old - a.reserve})
		}
	}
}

func (a *allocator) clone() allocator {
	c := *a
	c.free = append([]format.Run(nil), a.free...)
	return c
}

// used counts the blocks in use among the first total.
func (a *allocator) used(total uint64) uint64 {
	n := min(a.next, total)
	for _, r := range a.free {
		if r.Start < total {
			n -= min(r.End(), total) - r.Start
		}
	}
	for g := a.barrier / format.BlocksPerGroup; g*format.BlocksPerGroup < total; g++ {
		if super.Sparse(g) {
			n += a.reserve
		}
	}
	return n
}

// bitmap fills in which blocks of a group are in use, beyond the end included, and counts the free ones.
func (a *allocator) bitmap(b []byte, group, total uint64) (free uint32) {
	start := group * format.BlocksPerGroup
	end := min(start+format.BlocksPerGroup, total)
	clear(b)
	format.SetBits(b, 0, max(min(a.next, end), start)-start)
	i := sort.Search(len(a.free), func(i int) bool { return a.free[i].End() > start })
	for ; i < len(a.free) && a.free[i].Start < end; i++ {
		format.ClearBits(b, max(a.free[i].Start, start)-start, min(a.free[i].End(), end)-start)
	}
	if start >= a.next && super.Sparse(group) {
		format.SetBits(b, 0, a.reserve)
	}
	free = uint32(end-start) - format.CountBits(b, uint32(end-start))
	format.SetBits(b, end-start, format.BlocksPerGroup)
	return free
}
