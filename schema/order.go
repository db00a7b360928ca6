package schema

import (
	"cmp"
	"container/heap"
	"maps"
	"slices"

	"microagent/schema/diag"
	"microagent/schema/spec"
)

// Order is what comes after what among the workspaces of a manifest: what after says, and that who mounts a bundle made
// of an output comes after the task that leaves it.
type Order struct {
	first  map[string][]First
	sorted []string
	rank   map[string]int
	circle [][]string
	steps  int // how many more may be taken to see what comes after what
}

// First is a workspace that comes first, and how far it has to be.
type First struct {
	spec.After
	Bundle string   // through which it comes first; "" when after says so
	Pos    diag.Pos // of what says so
}

// orderSteps bounds the work of one order. A chain takes one step a question, so that only what nobody writes by hand is
// cut short: it counts as no order.
const orderSteps = 2_000_000

// Order gives the order of m's workspaces.
func (m *Manifest) Order() *Order {
	first := map[string][]First{}
	made := m.MadeOf()
	for name, w := range m.Workspaces {
		first[name] = m.firstOf(w, made)
	}
	return NewOrder(first)
}

// NewOrder gives the order in which each of some workspaces comes after others of them.
func NewOrder(first map[string][]First) *Order {
	o := &Order{first: first, rank: map[string]int{}, steps: orderSteps}
	o.sort()
	return o
}

// firstOf gives what comes before w, by name and each once; made is of MadeOf.
func (m *Manifest) firstOf(w Workspace, made map[string]string) []First {
	found := map[string]First{}
	for _, path := range slices.Sorted(maps.Keys(w.Mounts)) {
		mount := w.Mounts[path]
		output := m.Outputs[made[mount.Bundle]]
		if _, declared := m.Workspaces[output.From]; !declared {
			continue
		}
		if _, twice := found[output.From]; !twice {
			found[output.From] = First{spec.After{Workspace: output.From, Until: spec.UntilCompleted}, mount.Bundle, mount.Pos}
		}
	}
	for name, a := range w.After {
		if _, declared := m.Workspaces[name]; !declared {
			continue
		}
		if through, ok := found[name]; ok && a.Until != through.Until {
			continue // the bundle asks for more
		}
		found[name] = First{spec.After{Workspace: name, Until: a.Until}, "", a.Pos}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b First) int { return cmp.Compare(a.Workspace, b.Workspace) })
}

// First gives what comes before a workspace, by name.
func (o *Order) First(name string) []First { return o.first[name] }

// Sorted gives all workspaces, each after those that come before it and otherwise by name.
func (o *Order) Sorted() []string { return o.sorted }

// Before says that first comes before then in Sorted.
func (o *Order) Before(first, then string) bool { return o.rank[first] < o.rank[then] }

// Ended says that whenever then starts, the task of first has ended: then comes after its completion, or after something
// that does.
func (o *Order) Ended(first, then string) bool {
	return len(o.Unended(then, map[string]bool{first: true})) == 0
}

// Unended gives which of some, which it changes, have not always ended when then starts.
func (o *Order) Unended(then string, some map[string]bool) map[string]bool {
	seen := map[string]bool{then: true}
	for open := []string{then}; len(open) > 0 && len(some) > 0; {
		name := open[len(open)-1]
		open = open[:len(open)-1]
		for _, f := range o.first[name] {
			if o.steps--; o.steps < 0 {
				return some
			}
			if f.Until == spec.UntilCompleted {
				delete(some, f.Workspace)
			}
			if !seen[f.Workspace] {
				seen[f.Workspace] = true
				open = append(open, f.Workspace)
			}
		}
	}
	return some
}

// Use is one user of a volume or disk.
type Use struct {
	Workspace string
	Writes    bool
}

// Turn is one user's place among all of them.
type Turn struct {
	Clash  int   // a user that may run at the same time and must not, -1 for none
	Writer int   // the last one before it that writes, -1 for none
	Before []int // those that have to have ended: Writer, and for one that writes all that read since
}

// Turns looks at all users of one volume or disk, of which one that writes must be alone. Indices are of uses.
func (o *Order) Turns(uses []Use) []Turn {
	order := make([]int, len(uses))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(o.rank[uses[a].Workspace], o.rank[uses[b].Workspace])
	})
	turns := make([]Turn, len(uses))
	writer := -1
	var readers []int // since writer
	for _, i := range order {
		turns[i] = Turn{Clash: -1, Writer: writer}
		if writer >= 0 {
			turns[i].Before = append(turns[i].Before, writer)
		}
		if uses[i].Writes {
			turns[i].Before = append(turns[i].Before, readers...)
		}
		before := map[string]bool{}
		for _, b := range turns[i].Before {
			before[uses[b].Workspace] = true
		}
		before = o.Unended(uses[i].Workspace, before)
		if writer >= 0 && before[uses[writer].Workspace] {
			turns[i].Clash = writer
		}
		if !uses[i].Writes {
			readers = append(readers, i)
			continue
		}
		for _, r := range readers {
			if turns[r].Clash < 0 && before[uses[r].Workspace] {
				turns[r].Clash = i
			}
		}
		writer, readers = i, nil
	}
	return turns
}

// sort is Kahn's algorithm. What is left waits in a circle, or for one.
func (o *Order) sort() {
	names := slices.Sorted(maps.Keys(o.first))
	waits, then := map[string]int{}, map[string][]string{}
	ready := &nameHeap{}
	for _, name := range names {
		waits[name] = len(o.first[name])
		for _, f := range o.first[name] {
			then[f.Workspace] = append(then[f.Workspace], name)
		}
		if waits[name] == 0 {
			heap.Push(ready, name)
		}
	}
	for ready.Len() > 0 {
		name := heap.Pop(ready).(string)
		o.sorted = append(o.sorted, name)
		for _, next := range then[name] {
			if waits[next]--; waits[next] == 0 {
				heap.Push(ready, next)
			}
		}
	}
	var rest []string
	for _, name := range names {
		if waits[name] > 0 {
			rest = append(rest, name)
		}
	}
	o.findCircles(rest, waits)
	o.sorted = append(o.sorted, rest...)
	for i, name := range o.sorted {
		o.rank[name] = i
	}
}

// findCircles follows what waits back to what it waits for until it meets itself: each of rest waits for another of rest.
func (o *Order) findCircles(rest []string, waits map[string]int) {
	seen := map[string]int{} // the walk that met it, from 1
	for walk, name := range rest {
		var way []string
		for ; seen[name] == 0; name = o.waiting(name, waits) {
			seen[name] = walk + 1
			way = append(way, name)
		}
		if seen[name] == walk+1 {
			o.circle = append(o.circle, way[slices.Index(way, name):])
		}
	}
}

// waiting is one that name waits for and that waits itself.
func (o *Order) waiting(name string, waits map[string]int) string {
	for _, f := range o.first[name] {
		if waits[f.Workspace] > 0 {
			return f.Workspace
		}
	}
	return name
}

type nameHeap []string

func (h nameHeap) Len() int           { return len(h) }
func (h nameHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h nameHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *nameHeap) Push(x any)        { *h = append(*h, x.(string)) }
func (h *nameHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
