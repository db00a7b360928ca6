// Package logs reads what workspaces wrote: the newest run of each, one or many as one stream, and on as it is written.
// It reads files alone, whatever version wrote them, and asks nobody: a supervisor that stands still hinders nothing, and
// one that has nothing to say costs nothing.
//
// Promised: what one workspace wrote comes in its order, once, also while its log is turned or begun anew; what several
// wrote comes in the order of time, as far as their logs have times. Never: a look at a file that nothing has changed.
package logs

import (
	"context"
	"errors"
	"io"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/supervise/control"
)

// Request is what to read.
type Request struct {
	driver.LogOptions
	Of []driver.Workspace
	// Later, unless nil, says whether a workspace that came to Folder later is to be followed as well. Following has no end
	// then.
	Later  func(name string) (driver.Workspace, bool)
	Folder string
	// Run reads the run of a folder of those; nil is control.ReadRun.
	Run func(folder layout.Workspace) (*driver.Run, error)
}

// Each gives what is asked for to each. An error of each ends it and is given back.
func Each(ctx context.Context, r Request, each func(driver.Written) error) error {
	f := &follower{Request: r, each: each, sources: map[string]*source{}}
	if r.Follow {
		return f.follow(ctx)
	}
	defer f.close()
	for _, ws := range r.Of {
		if err := f.add(ws); err != nil {
			return err
		}
	}
	return f.give(ctx)
}

func (r Request) run(folder layout.Workspace) (*driver.Run, error) {
	if r.Run != nil {
		return r.Run(folder)
	}
	return control.ReadRun(folder)
}

// To writes the streams of one workspace apart.
func To(stdout, stderr io.Writer) func(driver.Written) error {
	return func(p driver.Written) error {
		w := stdout
		if p.Stream == streamStderr {
			w = stderr
		}
		if len(p.Data) == 0 {
			return nil
		}
		_, err := w.Write(p.Data)
		return err
	}
}

// give gives what all sources have now, the earliest first.
func (f *follower) give(ctx context.Context) error {
	var ready []*source
	for _, s := range f.order {
		if err := s.read(); err != nil {
			return err
		}
		if s.head != nil {
			ready = append(ready, s)
		}
	}
	for len(ready) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		first := 0
		for i, s := range ready[1:] {
			if s.key().Before(ready[first].key()) {
				first = i + 1
			}
		}
		s := ready[first]
		if err := f.each(*s.head); err != nil {
			return err
		}
		s.head = nil
		if err := s.read(); err != nil {
			return err
		}
		if s.head == nil {
			ready = append(ready[:first], ready[first+1:]...)
		}
	}
	return nil
}

// Streams of a log.
const (
	streamStdout  = "stdout"
	streamStderr  = "stderr"
	streamConsole = "console"
	streamNetwork = "network"
)

// ownFiles are the logs of other streams than a process's: bytes without times, but for the network's.
var ownFiles = map[string]string{
	streamConsole: layout.ConsoleLog, streamNetwork: layout.NetworkLog, "supervisor": layout.SupervisorLog, "vmm": layout.VMMLog,
}

// CheckStream refuses a stream that there is not.
func CheckStream(op, object, stream string) error {
	if stream == "" || stream == streamStdout || stream == streamStderr || ownFiles[stream] != "" {
		return nil
	}
	return &driver.Error{
		Class: driver.ErrInvalid, Op: op, Object: object, Err: errors.New("there is no stream " + stream),
		Next: "take stdout, stderr, console, supervisor, vmm or network",
	}
}
