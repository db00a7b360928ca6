package plan

import (
	"cmp"
	"container/heap"
	"slices"
)

var kindRank = map[Kind]int{
	KindProject: 0, KindImage: 1, KindVolume: 2, KindBundle: 3, KindDisk: 4, KindRename: 5, KindTurn: 6, KindWorkspace: 7, KindReady: 8, KindTask: 9, KindOutput: 10,
}

// earlier orders changes that don't wait for one another: by kind, then by name; deletes come last, in reverse.
func earlier(a, b *Change) int {
	del := func(c *Change) int {
		if c.Action == ActionDelete {
			return 1
		}
		return 0
	}
	if d := cmp.Compare(del(a), del(b)); d != 0 {
		return d
	}
	d := compareAddress(a.Address, b.Address)
	if a.Action == ActionDelete {
		return -d
	}
	return d
}

func compareAddress(a, b Address) int {
	return cmp.Or(cmp.Compare(kindRank[a.Kind], kindRank[b.Kind]), cmp.Compare(a.Name, b.Name))
}

// order sorts changes so that each comes after its deps, and is otherwise as early as earlier allows. Those that wait
// for one another in a circle are in the list too, at its end, and in loop.
func order(all []*Change) (ordered, loop []*Change) {
	at := make(map[Address]int, len(all))
	for i, c := range all {
		at[c.Address] = i
	}
	waits := make([]int, len(all)) // for how many others
	next := make([][]int, len(all))
	for i, c := range all {
		for _, dep := range c.Needs() {
			d := at[dep]
			next[d] = append(next[d], i)
			waits[i]++
		}
	}
	ready := &queue{}
	for i, c := range all {
		if waits[i] == 0 {
			heap.Push(ready, queued{c, i})
		}
	}
	for ready.Len() > 0 {
		q := heap.Pop(ready).(queued)
		ordered = append(ordered, q.change)
		for _, i := range next[q.index] {
			if waits[i]--; waits[i] == 0 {
				heap.Push(ready, queued{all[i], i})
			}
		}
	}
	if len(ordered) == len(all) {
		return ordered, nil
	}
	var rest []*Change
	for i, c := range all {
		if waits[i] > 0 {
			rest = append(rest, c)
		}
	}
	slices.SortFunc(rest, earlier)
	return append(ordered, rest...), circle(rest)
}

// circle leaves out of rest what only waits for a circle and is no part of one.
func circle(rest []*Change) []*Change {
	for {
		waitedFor := map[Address]bool{}
		for _, c := range rest {
			for _, dep := range c.Needs() {
				waitedFor[dep] = true
			}
		}
		kept := slices.DeleteFunc(slices.Clone(rest), func(c *Change) bool { return !waitedFor[c.Address] })
		if len(kept) == len(rest) {
			return rest
		}
		rest = kept
	}
}

type queued struct {
	change *Change
	index  int
}

type queue []queued

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return earlier(q[i].change, q[j].change) < 0 }
func (q queue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)        { *q = append(*q, x.(queued)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}
