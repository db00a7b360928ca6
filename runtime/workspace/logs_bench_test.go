package workspace

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/workspace/process"
)

// BenchmarkFollowIdle measures what it costs to follow the logs of 20 workspaces that write nothing, in percent of a CPU:
// this process, which follows as the command does, and the supervisors, beside what both take when nobody follows.
func BenchmarkFollowIdle(b *testing.B) {
	const workspaces, span = 20, 10 * time.Second
	s := open(b, b.TempDir())
	var names []string
	var supervisors []int
	var mu sync.Mutex
	var all sync.WaitGroup
	free := make(chan struct{}, 4) // starts at once
	for i := range workspaces {
		name := fmt.Sprintf("w%d", i)
		names = append(names, name)
		if _, err := s.Create(b.Context(), spec(name, idle), nil); err != nil {
			b.Fatal(err)
		}
		all.Go(func() {
			free <- struct{}{}
			defer func() { <-free }()
			run, err := s.Start(b.Context(), name, driver.StartOptions{})
			if err != nil {
				b.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			supervisors = append(supervisors, run.PID)
		})
	}
	all.Wait()
	if b.Failed() {
		return
	}
	spent := func() (us, theirs time.Duration) {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		tree, err := process.Look()
		if err != nil {
			b.Fatal(err)
		}
		for _, pid := range supervisors {
			self, _ := tree.Use(pid)
			theirs += self.CPU
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano()), theirs
	}
	measure := func() float64 {
		us, theirs := spent()
		began := time.Now()
		time.Sleep(span)
		took := time.Since(began)
		usNow, theirsNow := spent()
		return 100 * (usNow - us + theirsNow - theirs).Seconds() / took.Seconds()
	}
	turns(b, "%",
		turn{"alone", measure},
		turn{"followed", func() float64 {
			ctx, cancel := context.WithCancel(b.Context())
			done := make(chan error, 1)
			go func() {
				later := func(driver.Workspace) bool { return true }
				done <- s.AllLogs(ctx, names, later, driver.LogOptions{Follow: true}, func(driver.Written) error { return nil })
			}()
			percent := measure()
			cancel()
			if err := <-done; err != context.Canceled {
				b.Fatal(err)
			}
			return percent
		}})
}
