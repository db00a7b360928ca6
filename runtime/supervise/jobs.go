package supervise

import (
	"sync"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/layout"
	"microagent/runtime/supervise/outlog"
)

// settleJobs is how long jobs may take to write their end once their guest is gone. One that is not done then ends with
// the process, and is seen as lost.
const settleJobs = 500 * time.Millisecond

// jobs are those that run. Each has a goroutine, which settle waits for.
type jobs struct {
	creating sync.Mutex // held while one is made room for on disk

	mu      sync.Mutex // what follows; held for a moment
	running map[string]*job
	begun   int  // those of running, and those that are being started
	over    bool // no more work
	work    sync.WaitGroup
}

// job is one that runs.
type job struct {
	folder  layout.Workspace
	log     *outlog.Log
	life    *life
	process *proto.Process
	outputs []driver.Output
	exited  chan struct{} // closed when its process is over, or nobody will hear of that
	over    chan struct{} // closed when its record says how it ended

	mu      sync.Mutex // what follows
	record  driver.Job
	stopped bool // it was asked to end
}

func (j *job) snapshot() driver.Job {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.record
}

func (k *jobs) find(id string) *job {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.running[id]
}

// leaving gives those that leave outputs.
func (k *jobs) leaving() (list []*job) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, j := range k.running {
		if len(j.outputs) > 0 {
			list = append(list, j)
		}
	}
	return list
}

// reserve counts one more that is begun, unless there are too many.
func (k *jobs) reserve() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.begun >= driver.MaxRunningJobs {
		return false
	}
	k.begun++
	return true
}

// keep makes j one that runs, and begins work on it; false when the run is over.
func (k *jobs) keep(j *job, work func()) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.over {
		return false
	}
	if k.running == nil {
		k.running = map[string]*job{}
	}
	k.running[j.record.ID] = j
	k.work.Go(work)
	return true
}

// do begins work, unless the run is over: its jobs end without it then.
func (k *jobs) do(work func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.over {
		k.work.Go(work)
	}
}

// release is the end of one that was reserved, and of its job when that is kept.
func (k *jobs) release(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.begun--
	delete(k.running, id)
}

// settle ends the beginning of work, waits until the ends of jobs are on disk, and says whether they are.
func (k *jobs) settle(limit time.Duration) bool {
	k.mu.Lock()
	k.over = true
	k.mu.Unlock()
	done := make(chan struct{})
	go func() {
		defer close(done)
		k.work.Wait()
	}()
	select {
	case <-done:
		return true
	case <-time.After(limit):
		return false
	}
}
