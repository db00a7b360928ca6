package drivertest

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"microagent/runtime/driver"
	wanted "microagent/schema/spec"
)

// Start runs the workspace's process.
func (f *FakeWorkspaces) Start(_ context.Context, name string, o driver.StartOptions) (driver.Run, error) {
	const op = "start workspace"
	if err := f.call("start", name); err != nil {
		return driver.Run{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.get(op, name)
	if err != nil {
		return driver.Run{}, err
	}
	if w.alive() {
		return *w.Run, o.RunsAlready(name)
	}
	if w.RootFSMissing {
		return driver.Run{}, &driver.Error{Class: driver.ErrCorrupt, Op: op, Object: name, Err: errors.New("no root file system")}
	}
	for _, m := range w.Spec.Mounts {
		if m.Kind != driver.MountVolume || f.Volumes == nil {
			continue
		}
		if err := f.Volumes.Attach(m.Name, name); err != nil {
			f.Volumes.Release(name)
			return driver.Run{}, err
		}
	}
	now := f.clock()
	w.used, w.Again = true, false
	w.Run = &driver.Run{
		ID: fmt.Sprintf("run-%d", f.next), Key: o.RunKey, Phase: driver.PhaseReady, Started: now, Ready: &now,
		PID: 1000 + f.next, BootID: "fake", Start: uint64(f.next), Tool: "fake", VMM: "fake", SpecDigest: fakeDigest(w.Spec),
	}
	w.live(w.Spec.Mounts, wanted.VM{CPUs: w.Spec.CPUs, Memory: w.Spec.Memory, Grows: 8,
		MaxCPUs: max(w.Spec.CPUs, w.Spec.MaxCPUs), MaxMemory: max(w.Spec.Memory, w.Spec.MaxMemory)})
	w.network, w.env, w.root = o.NetworkOf(&w.Spec), maps.Clone(w.Spec.Process.Env), w.Spec.DiskSize
	w.Run.Readiness = f.readiness(w)
	w.publish(append(slices.Clone(w.Spec.Ports), o.Ports...))
	w.ended, w.outputs, w.shell = make(chan struct{}), nil, runFakeShell(w.Spec.Process.Argv, w.files, w.env)
	if w.Spec.Process.Mode != driver.ModeIdle {
		w.Run.Phase = driver.PhaseRunning
	}
	if w.Spec.Process.Mode == driver.ModeTask && !w.hold && !w.shell.sleeps {
		f.end(w, w.shell.code, false)
	}
	w.hold = false
	return *w.Run, nil
}

// mount gives a run those mounts, none of them when a volume is held elsewhere.
func (f *FakeWorkspaces) mount(w *fakeWorkspace, mounts []driver.Mount) error {
	had := func(list []driver.Mount, name string) bool {
		return slices.ContainsFunc(list, func(m driver.Mount) bool { return m.Kind == driver.MountVolume && m.Name == name })
	}
	detach := func(list, but []driver.Mount) {
		for _, m := range list {
			if f.Volumes != nil && m.Kind == driver.MountVolume && !had(but, m.Name) {
				f.Volumes.Detach(m.Name, w.Spec.Name)
			}
		}
	}
	for i, m := range mounts {
		if m.Kind != driver.MountVolume || f.Volumes == nil {
			continue
		}
		if err := f.Volumes.Attach(m.Name, w.Spec.Name); err != nil {
			detach(mounts[:i], w.Run.Live.Mounts)
			return err
		}
	}
	detach(w.Run.Live.Mounts, mounts)
	w.live(mounts, *w.Run.Live.VM)
	return nil
}

// live is what a run has that can change.
func (w *fakeWorkspace) live(mounts []driver.Mount, vm wanted.VM) {
	w.Run.Live = &driver.Live{Mounts: slices.Clone(mounts), Room: 4, VM: &vm}
}

// end finishes the run of w as its process ended with code.
func (f *FakeWorkspaces) end(w *fakeWorkspace, code int, stopped bool) {
	w.Run.Stopped = stopped
	if w.Spec.Process.Mode != driver.ModeIdle {
		w.Run.ExitCode = &code
	}
	if w.Spec.Process.Mode == driver.ModeTask {
		w.collectAll()
	}
	f.finish(w, driver.PhaseFinished, "")
}

func (f *FakeWorkspaces) finish(w *fakeWorkspace, phase driver.Phase, reason string) {
	w.Run.Live = nil
	w.Run.Phase, w.Run.Error, w.Run.Ended = phase, reason, new(f.clock())
	if f.Volumes != nil {
		f.Volumes.Release(w.Spec.Name)
	}
	f.endJobs(w)
	close(w.ended)
}

// collectAll brings the outputs out, in the place of those that were.
func (w *fakeWorkspace) collectAll() {
	w.outputs, w.Run.Collected = map[string][]byte{}, nil
	for _, o := range w.Spec.Outputs {
		w.Run.Collected = append(w.Run.Collected, w.collect(o))
	}
}

func (w *fakeWorkspace) collect(o driver.Output) driver.Fetched {
	got := driver.Fetched{Name: o.Name, From: o.Path, Path: "outputs/" + o.Name}
	text, ok := w.files[o.Path]
	if !ok {
		if !o.Optional {
			got.Missing, got.Error = true, o.Path+" is not there"
		}
		return got
	}
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	// Writing to memory does not fail.
	_ = tw.WriteHeader(&tar.Header{Name: ".", Mode: 0o644, Size: int64(len(text)), Typeflag: tar.TypeReg})
	_, _ = io.WriteString(tw, text)
	_ = tw.Close()
	w.outputs[o.Name] = buf.Bytes()
	got.Bytes, got.Files = int64(len(text)), 1
	got.Digest = fakeDigest([]fakeEntry{{Name: ".", Type: tar.TypeReg, Data: text}}) // as FakeOutputs digests it
	return got
}

// Silent is never so: this guest is no process.
func (f *FakeWorkspaces) Silent(context.Context, string) bool { return false }

// Wait gives the run when it has ended.
func (f *FakeWorkspaces) Wait(ctx context.Context, name string) (driver.Run, error) {
	if err := f.call("wait", name); err != nil {
		return driver.Run{}, err
	}
	f.mu.Lock()
	w, err := f.get("wait for workspace", name)
	if err == nil && w.Run == nil {
		err = &driver.Error{Class: driver.ErrRefused, Op: "wait for workspace", Object: name, Err: errors.New("it never ran")}
	}
	if err != nil {
		f.mu.Unlock()
		return driver.Run{}, err
	}
	ended := w.ended
	f.mu.Unlock()
	select {
	case <-ended:
	case <-ctx.Done():
		return driver.Run{}, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return *w.Run, nil
}

// Stop ends the run.
func (f *FakeWorkspaces) Stop(_ context.Context, name string, o driver.StopOptions) (driver.Stopped, error) {
	if err := f.call("stop", name); err != nil {
		return driver.Stopped{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.get("stop workspace", name)
	if err != nil {
		return driver.Stopped{}, err
	}
	w.Again = o.Again && (w.alive() || w.Again)
	if !w.alive() {
		return driver.Stopped{}, nil
	}
	f.end(w, 143, true)
	return driver.Stopped{Was: true, Forced: o.Force}, nil
}

// Exec runs a script in the fake shell, and `cat` as a program that copies its input.
func (f *FakeWorkspaces) Exec(_ context.Context, name string, spec driver.ExecSpec, s driver.Streams) (int, error) {
	if err := f.call("exec", name); err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.get("exec in workspace", name)
	if err != nil {
		return 0, err
	}
	if !w.alive() {
		return 0, &driver.Error{
			Class: driver.ErrRefused, Op: "exec in workspace", Object: name, Err: errors.New("it does not run"),
			Next: "microagent start " + name,
		}
	}
	if err := w.InRun(spec.IfRun); err != nil {
		return 0, err
	}
	out := runFakeShell(spec.Argv, w.files, w.env)
	if spec.Collect {
		w.collectAll()
	}
	if s.Stdout != nil {
		if len(spec.Argv) == 1 && spec.Argv[0] == "cat" && s.Stdin != nil {
			_, err = io.Copy(s.Stdout, s.Stdin)
		} else {
			_, err = io.WriteString(s.Stdout, out.stdout.String())
		}
	}
	if err == nil && s.Stderr != nil {
		_, err = io.WriteString(s.Stderr, out.stderr.String())
	}
	return out.code, err
}

// Logs writes what the process wrote.
func (f *FakeWorkspaces) Logs(ctx context.Context, name string, o driver.LogOptions, stdout, stderr io.Writer) error {
	f.mu.Lock()
	w, err := f.get("logs of workspace", name)
	if err != nil || w.shell == nil {
		f.mu.Unlock()
		return err
	}
	shell, ended := w.shell, w.ended
	if o.Job != "" {
		_, j, err := f.job("logs of job", name, o.Job)
		if err != nil {
			f.mu.Unlock()
			return err
		}
		shell, ended = j.shell, j.over
	}
	out, errs := shell.stdout.String(), shell.stderr.String()
	f.mu.Unlock()
	if o.Stream == "" || o.Stream == "stdout" {
		if _, err := io.WriteString(stdout, tail(out, o.Tail)); err != nil {
			return err
		}
	}
	if o.Stream == "" || o.Stream == "stderr" {
		if _, err := io.WriteString(stderr, tail(errs, o.Tail)); err != nil {
			return err
		}
	}
	if o.Follow {
		select {
		case <-ended:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// AllLogs gives what each process wrote to stdout and then to stderr, one workspace after the other.
func (f *FakeWorkspaces) AllLogs(ctx context.Context, names []string, later func(driver.Workspace) bool, o driver.LogOptions, each func(driver.Written) error) error {
	at := time.UnixMilli(1_700_000_000_000).UTC()
	for i, name := range names {
		if o.Stream == "network" {
			for _, d := range f.Denied[name] {
				data, _ := json.Marshal(d) // of numbers and texts
				if err := each(driver.Written{Workspace: name, Stream: o.Stream, Time: d.Time, Data: append(data, '\n')}); err != nil {
					return err
				}
			}
			continue
		}
		give := func(stream string) io.Writer {
			return writeFunc(func(data []byte) error {
				return each(driver.Written{Workspace: name, Stream: stream, Time: at.Add(time.Duration(i) * time.Second), Data: data})
			})
		}
		if err := f.Logs(ctx, name, o, give("stdout"), give("stderr")); err != nil {
			return err
		}
	}
	if later != nil && o.Follow {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

type writeFunc func([]byte) error

func (f writeFunc) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	return len(p), f(p)
}

func tail(text string, lines *int) string {
	all := strings.SplitAfter(text, "\n")
	if lines == nil || len(all)-1 <= *lines {
		return text
	}
	return strings.Join(all[len(all)-1-*lines:], "")
}

// OutputFile gives a collected output.
func (f *FakeWorkspaces) OutputFile(_ context.Context, name, output string) (io.ReadCloser, driver.Fetched, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.get("output of workspace", name)
	if err != nil {
		return nil, driver.Fetched{}, err
	}
	if w.Run != nil {
		for _, got := range w.Run.Collected {
			switch data, ok := w.outputs[output]; {
			case got.Name != output:
			case ok:
				return io.NopCloser(bytes.NewReader(data)), got, nil
			default:
				return nil, got, &driver.Error{Class: driver.ErrNotFound, Op: "output", Object: output, Err: errors.New(got.Error)}
			}
		}
	}
	return nil, driver.Fetched{}, &driver.Error{Class: driver.ErrNotFound, Op: "output", Object: output, Err: errors.New("not collected")}
}

// Hold makes the next task of a workspace run on until Finish.
func (f *FakeWorkspaces) Hold(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[name].hold = true
}

// Finish ends the task or service of a workspace with code.
func (f *FakeWorkspaces) Finish(name string, code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end(f.all[name], code, false)
}

// Break ends a run as a crash (driver.PhaseFailed) or a killed supervisor (driver.PhaseLost) would.
func (f *FakeWorkspaces) Break(name string, phase driver.Phase, reason string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.finish(f.all[name], phase, reason)
}

// LoseRootFS makes the root file system of a workspace missing.
func (f *FakeWorkspaces) LoseRootFS(name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all[name].RootFSMissing = true
}

// WaitUntil returns when the run's phase is p.
func (f *FakeWorkspaces) WaitUntil(ctx context.Context, name string, p driver.Phase) error {
	for {
		w, err := f.Get(ctx, name)
		if err == nil && w.Run != nil && w.Run.Phase == p {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// Usage gives the same of each that runs; CPU times grow by a second with each call.
func (f *FakeWorkspaces) Usage(_ context.Context, names []string) ([]driver.Usage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	spent := time.Duration(f.asked) * time.Second
	var list []driver.Usage
	for _, name := range names {
		w, err := f.get("measure workspace", name)
		if err != nil {
			return nil, err
		}
		if !w.alive() {
			continue
		}
		list = append(list, driver.Usage{Workspace: name, At: time.UnixMilli(1_700_000_000_000).UTC().Add(2 * spent),
			Host: driver.HostUse{
				Supervisor: driver.ProcessUse{Processes: 1, CPU: spent / 10, RSS: 40 << 20, Private: 20 << 20},
				VMM:        driver.ProcessUse{Processes: 2, CPU: spent, RSS: 300 << 20, Private: 200 << 20, Read: 1 << 20, Written: 2 << 20},
				Disks:      []driver.ImageUse{{Name: "rootfs", Size: 1 << 30, Allocated: 50 << 20}},
			},
			Guest: &driver.GuestUse{CPUs: 1, Busy: spent, Idle: spent, Load: [3]float64{0.5, 0.25, 0}, Memory: 256 << 20, Used: 64 << 20, Tasks: 12,
				Disks: []driver.FileSystem{{Path: "/", Size: 1 << 30, Used: 256 << 20}}},
		})
	}
	return list, nil
}
