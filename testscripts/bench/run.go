package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// bench measures rows one after another.
type bench struct {
	options
	host   host
	taken  []result
	failed []string
}

// row is one piece of work and who does it; ours is the first.
type row struct {
	name  string
	ready func(ctx context.Context) error
	// done undoes what ready did besides; nil: nothing.
	done func() error
	who  []contestant
	// rounds is how many there are of what is measured for its memory; 0: as many as of the others.
	rounds int
	// longest compares with the longer of both rivals in each round.
	longest bool
	// start says that the last of who only starts our process: ours is without that.
	start bool
	// limit is the most memory that ours may take, in KiB; 0: none is said.
	limit int64
}

// contestant does the work of a row in one command. out is removed before each run.
type contestant struct {
	name string
	bar  float64 // the largest ratio of ours to it that is demanded; 0: none. Negative: it takes at least that many times ours
	argv []string
	dir  string
	env  []string
	out  []string
	// before makes what the work needs, and is not measured.
	before func(ctx context.Context) error
}

// sample is what one run took.
type sample struct {
	wall, cpu time.Duration
	memory    int64 // KiB
	written   int64 // KiB that what it made takes on the host
}

// result is a row with its samples, by contestant and round.
type result struct {
	row
	samples [][]sample
	load    string // before the first round
}

func (b *bench) run(ctx context.Context, r *row) (err error) {
	if r.ready != nil {
		if err := r.ready(ctx); err != nil {
			return err
		}
	}
	if r.done != nil {
		defer func() { err = errors.Join(err, r.done()) }()
	}
	res := result{row: *r, samples: make([][]sample, len(r.who)), load: loadOf()}
	rounds := b.rounds
	if r.rounds > 0 {
		rounds = min(rounds, r.rounds)
	}
	for round := range rounds + 1 { // the first is for the caches
		for k := range r.who {
			i := (k + round) % len(r.who)
			s, err := r.who[i].once(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", r.who[i].name, err)
			}
			if round > 0 {
				res.samples[i] = append(res.samples[i], s)
			}
		}
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", r.name, round, rounds)
	}
	for _, c := range r.who {
		if err := c.clear(); err != nil {
			return err
		}
	}
	b.taken = append(b.taken, res)
	return nil
}

func (c *contestant) clear() error {
	for _, out := range c.out {
		if err := os.RemoveAll(out); err != nil {
			return err
		}
	}
	return nil
}

// made is where the contestant makes something; "." of one that only reads.
func (c *contestant) made() string {
	if len(c.out) == 0 {
		return "."
	}
	return c.out[0]
}

// settle writes what others left, which is not this contestant's to wait for.
func settle(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.Syncfs(int(f.Fd()))
}

func (c *contestant) once(ctx context.Context) (sample, error) {
	if err := c.clear(); err != nil {
		return sample{}, err
	}
	if c.before != nil {
		if err := c.before(ctx); err != nil {
			return sample{}, err
		}
	}
	if err := settle(filepath.Dir(c.made())); err != nil {
		return sample{}, err
	}
	cmd := exec.CommandContext(ctx, c.argv[0], c.argv[1:]...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), c.env...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return sample{}, fmt.Errorf("%v: %w\n%.2000s", c.argv, err, said.Bytes())
	}
	s := sample{wall: time.Since(began), cpu: cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	if u, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		s.memory = u.Maxrss
	}
	for _, out := range c.out {
		err := filepath.WalkDir(out, func(path string, e os.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			info, err := e.Info()
			if err == nil {
				s.written += info.Sys().(*syscall.Stat_t).Blocks / 2
			}
			return err
		})
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// figure takes one number out of every sample.
func figure(list []sample, of func(sample) float64) (all []float64) {
	for _, s := range list {
		all = append(all, of(s))
	}
	return all
}

// ratio is the median of ours to theirs in the same round.
func ratio(ours, theirs []sample, of func(sample) float64) float64 {
	var all []float64
	for i := range ours {
		all = append(all, of(ours[i])/max(of(theirs[i]), 1e-9))
	}
	return median(all)
}
