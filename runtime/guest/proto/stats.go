package proto

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"time"

	"microagent/runtime/frame"
	"microagent/runtime/guest/proto/wire"
)

// Stats is what a guest says of its own use, now. Nothing of it can be checked; Session.Stats holds it within bounds.
type Stats struct {
	CPUs      int           `json:"cpus"`
	Busy      time.Duration `json:"busy"` // of all CPUs since boot, in nanoseconds
	Idle      time.Duration `json:"idle"`
	Load      [3]float64    `json:"load"` // of 1, 5 and 15 minutes
	Memory    int64         `json:"memory"`
	Available int64         `json:"available"` // of it, without taking from processes
	Tasks     int           `json:"tasks"`     // processes and threads
	Disks     []DiskUse     `json:"disks"`     // one for each mount of the workspace, and "/"
}

// DiskUse is how full a file system is. Sizes are bytes.
type DiskUse struct {
	Path string `json:"path"`
	Size int64  `json:"size"`
	Used int64  `json:"used"`
}

// maxStats bounds the encoded answer: MaxMounts paths are not longer.
const maxStats = 512 << 10

// Bounds of what is taken for true: larger values are cut to them.
const (
	maxCPUs  = 1 << 12
	maxTasks = 1 << 22 // pid_max's own limit
	maxBytes = math.MaxInt64 / 2
	maxLoad  = 1e6
)

// Stats asks the guest how much it uses. A guest whose agent is older has no answer: class ErrUnsupported.
func (s *Session) Stats(ctx context.Context) (Stats, error) {
	const op = "ask guest for its use"
	if !s.hello.Has(CapStats) {
		return Stats{}, &GuestError{Op: op, Code: CodeUnsupported, Message: "its agent is older than that question"}
	}
	st, err := open(ctx, s.dial, &wire.StreamHeader{Kind: KindStats})
	if err != nil {
		return Stats{}, streamError(op, err)
	}
	answer := newFetched(ctx, st, op)
	defer answer.Close()
	data, err := io.ReadAll(io.LimitReader(answer, maxStats+1))
	if err != nil {
		return Stats{}, streamError(op, frame.Cut(err))
	}
	var got Stats
	if len(data) > maxStats {
		return Stats{}, streamError(op, &FrameError{fmt.Sprintf("an answer of more than %d bytes", maxStats)})
	}
	if err := json.Unmarshal(data, &got); err != nil {
		return Stats{}, streamError(op, &FrameError{"an answer that is no JSON"})
	}
	return got.bounded(), nil
}

// bounded is s with every value in a range that can be.
func (s Stats) bounded() Stats {
	s.CPUs = within(s.CPUs, maxCPUs)
	s.Tasks = within(s.Tasks, maxTasks)
	s.Busy, s.Idle = within(s.Busy, math.MaxInt64/2), within(s.Idle, math.MaxInt64/2)
	s.Memory = within(s.Memory, maxBytes)
	s.Available = within(s.Available, s.Memory)
	for i, load := range s.Load {
		if !(load >= 0) { // NaN too
			load = 0
		}
		s.Load[i] = min(load, maxLoad)
	}
	var disks []DiskUse
	for i, d := range s.Disks {
		if i > MaxMounts {
			break
		}
		d.Path = cut(d.Path)
		d.Size = within(d.Size, maxBytes)
		d.Used = within(d.Used, d.Size)
		disks = append(disks, d)
	}
	s.Disks = disks
	return s
}

func within[N int | int64 | time.Duration](n, most N) N { return max(0, min(n, most)) }
