// Package process sums up what processes take, with all that they started, as the host's kernel counts it. It reads /proc
// and changes nothing; of a process that ends meanwhile it says what it could still read.
package process

import (
	"time"

	"github.com/prometheus/procfs"

	"microagent/runtime/driver"
)

// Tree is who started whom, at one moment.
type Tree struct{ children map[int][]procfs.Proc }

// Look looks at all processes once.
func Look() (Tree, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return Tree{}, err
	}
	t := Tree{children: map[int][]procfs.Proc{}}
	for _, p := range all {
		if stat, err := p.Stat(); err == nil {
			t.children[stat.PPID] = append(t.children[stat.PPID], p)
		}
	}
	return t, nil
}

// Use is what a process takes by itself, and what all that it started do together.
func (t Tree) Use(pid int) (self, below driver.ProcessUse) {
	if p, err := procfs.NewProc(pid); err == nil {
		self = add(self, p)
	}
	queue := t.children[pid]
	for len(queue) > 0 {
		p := queue[0]
		queue = append(queue[1:], t.children[p.PID]...)
		below = add(below, p)
	}
	return self, below
}

func add(u driver.ProcessUse, p procfs.Proc) driver.ProcessUse {
	stat, err := p.Stat()
	if err != nil {
		return u
	}
	u.Processes++
	u.CPU += time.Duration(stat.CPUTime() * float64(time.Second))
	u.RSS += int64(stat.ResidentMemory())
	if maps, err := p.ProcSMapsRollup(); err == nil {
		u.Private += int64(maps.PrivateClean + maps.PrivateDirty)
	}
	if io, err := p.IO(); err == nil {
		u.Read += int64(io.ReadBytes)
		u.Written += int64(io.WriteBytes)
	}
	return u
}
