package ext4

import (
	"sort"

	"microagent/runtime/disk/ext4/super"
)

// run is a range of blocks.
type run struct{ start, count uint64 }

func (r run) end() uint64 { return r.start + r.count }

// allocator hands out blocks from the front to the back, first what was given back. Blocks below next are in
// use unless free lists them; from next on only copies of the superblock and descriptors are.
type allocator struct {
	reserve uint64 // blocks that each copy takes: superblock and descriptors
	next    uint64
	barrier uint64 // start of the first group that has a copy and was not passed
	free    []run  // sorted, never adjacent, below next
}

func newAllocator(descBlocks uint64) allocator {
	return allocator{reserve: 1 + descBlocks}
}

// skip moves next over a copy of the superblock that it has come to, and finds the next barrier.
func (a *allocator) skip() {
	for a.next == a.barrier {
		a.next += a.reserve
		g := a.barrier/blocksPerGroup + 1
		for !super.Sparse(g) {
			g++
		}
		a.barrier = g * blocksPerGroup
	}
}

// take gives up to want blocks that lie together.
func (a *allocator) take(want uint64) run {
	if len(a.free) > 0 {
		r := a.free[0]
		if r.count <= want {
			a.free = a.free[1:]
			return r
		}
		a.free[0] = run{r.start + want, r.count - want}
		return run{r.start, want}
	}
	a.skip()
	r := run{a.next, min(want, a.barrier-a.next)}
	a.next += r.count
	return r
}

// together gives n blocks in one run; n is less than a group without its copy.
func (a *allocator) together(n uint64) uint64 {
	for i, r := range a.free {
		if r.count < n {
			continue
		}
		if r.count == n {
			a.free = append(a.free[:i], a.free[i+1:]...)
		} else {
			a.free[i] = run{r.start + n, r.count - n}
		}
		return r.start
	}
	a.skip()
	if left := a.barrier - a.next; left < n {
		gap := run{a.next, left}
		a.next += left
		a.skip()
		a.release(gap)
	}
	start := a.next
	a.next += n
	return start
}

// release gives blocks back.
func (a *allocator) release(r run) {
	if r.count == 0 {
		return
	}
	i := sort.Search(len(a.free), func(i int) bool { return a.free[i].start > r.start })
	if i > 0 && a.free[i-1].end() == r.start {
		a.free[i-1].count += r.count
		if i < len(a.free) && a.free[i].start == a.free[i-1].end() {
			a.free[i-1].count += a.free[i].count
			a.free = append(a.free[:i], a.free[i+1:]...)
		}
		return
	}
	if i < len(a.free) && r.end() == a.free[i].start {
		a.free[i] = run{r.start, r.count + a.free[i].count}
		return
	}
	a.free = append(a.free, run{})
	copy(a.free[i+1:], a.free[i:])
	a.free[i] = r
}

// shrink makes every copy smaller and gives back what it no longer needs.
func (a *allocator) shrink(descBlocks uint64) {
	old := a.reserve
	a.reserve = 1 + descBlocks
	for g := uint64(0); g*blocksPerGroup < a.next; g++ {
		if super.Sparse(g) {
			a.release(run{g*blocksPerGroup + a.reserve, old - a.reserve})
		}
	}
}

func (a *allocator) clone() allocator {
	c := *a
	c.free = append([]run(nil), a.free...)
	return c
}

// used counts the blocks in use among the first total.
func (a *allocator) used(total uint64) uint64 {
	n := min(a.next, total)
	for _, r := range a.free {
		if r.start < total {
			n -= min(r.end(), total) - r.start
		}
	}
	for g := a.barrier / blocksPerGroup; g*blocksPerGroup < total; g++ {
		if super.Sparse(g) {
			n += a.reserve
		}
	}
	return n
}

// bitmap fills in which blocks of a group are in use, beyond the end included, and counts the free ones.
func (a *allocator) bitmap(b []byte, group, total uint64) (free uint32) {
	start := group * blocksPerGroup
	end := min(start+blocksPerGroup, total)
	clear(b)
	setBits(b, 0, max(min(a.next, end), start)-start)
	i := sort.Search(len(a.free), func(i int) bool { return a.free[i].end() > start })
	for ; i < len(a.free) && a.free[i].start < end; i++ {
		clearBits(b, max(a.free[i].start, start)-start, min(a.free[i].end(), end)-start)
	}
	if start >= a.next && super.Sparse(group) {
		setBits(b, 0, a.reserve)
	}
	free = uint32(end-start) - countBits(b, uint32(end-start))
	setBits(b, end-start, blocksPerGroup)
	return free
}
