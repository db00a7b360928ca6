// Command bench measures how long disks take beside what a user could pick instead, in one run: each round runs every
// contestant once, in a new order, and what is told are ratios of the same round. All of them end with fsync. The rivals
// come from Debian's packages, and from Go modules that are no part of the program's (.ci/bench.mod). It runs in the top
// folder of the tree, beside a bin/microagent:
//
//	go run ./testscripts/bench -write BENCHMARKS.md
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := measure
	if len(os.Args) > 1 && verbs[os.Args[1]] != nil {
		run = func(ctx context.Context) error { return verbs[os.Args[1]](ctx, os.Args[2:]) }
	}
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what the flags say.
type options struct {
	program, mke2fs, tarMke2fs, mkfsXFS, dir string
	rounds                                   int
	resume                                   bool
	only                                     *regexp.Regexp
}

// rival is tar2ext4 as a program.
func (o *options) rival() string { return filepath.Join(o.dir, "tar2ext4") }

func buildRival(ctx context.Context, o options) error {
	return said(exec.CommandContext(ctx, "go", "build", "-modfile=.ci/bench.mod", "-o", o.rival(), "testscripts/bench/rival.go"))
}

// measure runs the rows and tells what came of them.
func measure(ctx context.Context) error {
	var o options
	flag.StringVar(&o.program, "program", "bin/microagent", "the microagent to measure")
	flag.StringVar(&o.mke2fs, "mke2fs", "mke2fs", "the mke2fs to measure against")
	flag.StringVar(&o.tarMke2fs, "mke2fs-tar", "", "a mke2fs that reads tars (1.47.1 or later, with libarchive); none: those rows are left out")
	flag.StringVar(&o.mkfsXFS, "mkfs-xfs", "", "a mkfs.xfs, to clone where blocks can be shared, as root; none: that row is left out")
	flag.StringVar(&o.dir, "dir", "", "where inputs are kept and disks are made, 12 GiB of room (default: a folder that is removed)")
	flag.IntVar(&o.rounds, "rounds", 7, "rounds of each row")
	flag.BoolVar(&o.resume, "resume", false, "take rows that this program was measured in before, in the same -dir, as they are")
	only := flag.String("only", "", "the rows whose name matches")
	write := flag.String("write", "", "write the report to this file as well")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return err
	}
	if o.program, err = filepath.Abs(o.program); err != nil {
		return err
	}
	if o.dir == "" {
		if o.dir, err = os.MkdirTemp("", "bench"); err != nil {
			return err
		}
		defer os.RemoveAll(o.dir)
	}
	if o.dir, err = filepath.Abs(o.dir); err != nil {
		return err
	}
	if err := buildRival(ctx, o); err != nil {
		return err
	}
	b := &bench{options: o, host: describeHost(ctx, o)}
	for _, row := range b.rows() {
		if !o.only.MatchString(row.name) {
			continue
		}
		if err := b.runOnce(ctx, row); err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			b.failed = append(b.failed, fmt.Sprintf("%s: %v", row.name, err))
			fmt.Fprintln(os.Stderr, "not measured:", b.failed[len(b.failed)-1])
		}
		if *write != "" { // as far as it has come
			if err := os.WriteFile(*write, []byte(b.report()), 0o644); err != nil {
				return err
			}
		}
	}
	fmt.Print(b.report())
	if len(b.failed) > 0 {
		return fmt.Errorf("%d rows were not measured", len(b.failed))
	}
	return nil
}
