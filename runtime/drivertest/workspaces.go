package drivertest

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
)

// WorkspacesUnder is an implementation of driver.Workspaces and what a test needs beside it.
type WorkspacesUnder struct {
	driver.Workspaces
	// Spec is a workspace that can be created and started; the suite sets Process, Outputs and Applied.
	Spec func(t *testing.T, name string) driver.WorkspaceSpec
	// Other is the same with another image.
	Other func(t *testing.T, name string) driver.WorkspaceSpec
}

// Workspaces checks an implementation of driver.Workspaces. open gives an empty one. Each case starts few guests:
// under emulation one takes seconds.
func Workspaces(t *testing.T, open func(t *testing.T) WorkspacesUnder) {
	t.Run("records", func(t *testing.T) { workspacesRecords(t, open(t)) })
	t.Run("absent", func(t *testing.T) { workspacesAbsent(t, open(t)) })
	t.Run("task", func(t *testing.T) { workspacesTask(t, open(t)) })
	t.Run("idle", func(t *testing.T) { workspacesIdle(t, open(t)) })
	t.Run("reset", func(t *testing.T) { workspacesReset(t, open(t)) })
	t.Run("stop a task", func(t *testing.T) {
		w := open(t)
		spec := w.Spec(t, "one")
		spec.Process = Shell(driver.ModeTask, "sleep 1000")
		_, err := w.Create(t.Context(), spec, nil)
		must(t, err)
		run, err := w.Start(t.Context(), "one", driver.StartOptions{RunKey: "v1:a"})
		must(t, err)
		if run.Phase != driver.PhaseRunning {
			t.Errorf("started: %+v", run)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if _, err := w.Wait(ctx, "one"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait for a task that goes on: %v", err)
		}
		stopped, err := w.Stop(t.Context(), "one", driver.StopOptions{})
		must(t, err)
		if !stopped.Was {
			t.Errorf("Stop: %+v", stopped)
		}
		run, err = w.Wait(t.Context(), "one")
		must(t, err)
		if run.Phase != driver.PhaseFinished || !run.Stopped {
			t.Errorf("after a stop: %+v", run)
		}
	})
}

func workspacesRecords(t *testing.T, w WorkspacesUnder) {
	spec := w.Spec(t, "counter.one")
	spec.Project = "counter"
	spec.Process = Shell(driver.ModeTask, "exit 0")
	spec.Process.Env = map[string]string{"A": "1"}
	spec.Applied = []byte(`{"any":"thing"}`)
	made, err := w.Create(t.Context(), spec, nil)
	must(t, err)
	if made.ID == "" || made.RecordDigest == "" || made.Run != nil || made.RootFSMissing || made.Created.IsZero() {
		t.Errorf("created: %+v", made)
	}
	_, err = w.Create(t.Context(), spec, nil)
	wantClass(t, err, driver.ErrExists)
	got, err := w.Get(t.Context(), spec.Name)
	must(t, err)
	if got.Spec.Process.Env["A"] != "1" || got.Spec.Project != "counter" || compact(got.Spec.Applied) != compact(spec.Applied) {
		t.Errorf("the spec came back as %+v", got.Spec)
	}
	same, err := w.Update(t.Context(), spec)
	must(t, err)
	if same.RecordDigest != made.RecordDigest || !same.Updated.Equal(made.Updated) {
		t.Errorf("an update that changes nothing wrote the record: %+v", same)
	}
	spec.Process.Env["A"] = "2"
	updated, err := w.Update(t.Context(), spec)
	must(t, err)
	if updated.RecordDigest == made.RecordDigest || updated.ID != made.ID || updated.Spec.Process.Env["A"] != "2" {
		t.Errorf("updated: %+v", updated)
	}
	smaller := spec
	smaller.DiskSize /= 2
	_, err = w.Update(t.Context(), smaller)
	wantClass(t, err, driver.ErrRefused)
	other := w.Other(t, spec.Name)
	other.Project = "counter"
	_, err = w.Update(t.Context(), other)
	wantClass(t, err, driver.ErrInvalid)
	replaced, err := w.Replace(t.Context(), other, nil)
	must(t, err)
	if replaced.ID == made.ID || replaced.Spec.ImageDigest != other.ImageDigest || replaced.RootFSMissing {
		t.Errorf("replaced: %+v", replaced)
	}
	list, err := w.List(t.Context())
	must(t, err)
	if len(list) != 1 || list[0].RecordDigest != replaced.RecordDigest {
		t.Errorf("List: %+v", list)
	}
	if kept, err := w.Kept(t.Context()); err != nil || len(kept) != 1 || kept[0].Workspace != spec.Name || kept[0].Deleted || kept[0].Image != spec.Image || kept[0].Bytes <= 0 {
		t.Errorf("Kept: %+v, %v", kept, err)
	}
	workspacesRestored(t, w, made, replaced)
	for _, dry := range []bool{true, false} {
		freed, names, err := w.Prune(t.Context(), dry)
		must(t, err)
		if freed <= 0 || len(names) != 1 || names[0] != spec.Name {
			t.Errorf("Prune(dry %v): %d, %v", dry, freed, names)
		}
	}
	freed, names, err := w.Prune(t.Context(), false)
	must(t, err)
	if freed != 0 || len(names) != 0 {
		t.Errorf("Prune of nothing: %d, %v", freed, names)
	}
	wantClass(t, w.Move(t.Context(), "counter.none", "shop.two", "shop"), driver.ErrNotFound)
	wantClass(t, w.Move(t.Context(), spec.Name, spec.Name, "counter"), driver.ErrInvalid)
	wantClass(t, w.Move(t.Context(), spec.Name, "../two", "counter"), driver.ErrInvalid)
	must(t, w.Move(t.Context(), spec.Name, "shop.two", "shop"))
	moved, err := w.Get(t.Context(), "shop.two")
	must(t, err)
	if moved.ID == made.ID || moved.Spec.Name != "shop.two" || moved.Spec.Project != "shop" || moved.Spec.Image != other.Image || moved.RootFSMissing {
		t.Errorf("%+v became %+v", replaced, moved)
	}
	_, err = w.Get(t.Context(), spec.Name)
	wantClass(t, err, driver.ErrNotFound)
	_, err = w.Create(t.Context(), spec, nil) // the old name is free
	must(t, err)
	wantClass(t, w.Move(t.Context(), "shop.two", spec.Name, "counter"), driver.ErrExists)
	must(t, w.Delete(t.Context(), "shop.two"))
	must(t, w.Delete(t.Context(), spec.Name))
	must(t, w.Delete(t.Context(), spec.Name))
	_, err = w.Get(t.Context(), spec.Name)
	wantClass(t, err, driver.ErrNotFound)
}

// workspacesRestored brings back what a replacement kept, and what Retire kept, and ends with a workspace as it was replaced.
func workspacesRestored(t *testing.T, w WorkspacesUnder, made, replaced driver.Workspace) {
	t.Helper()
	name := made.Spec.Name
	back, err := w.Restore(t.Context(), name)
	must(t, err)
	if back.ID != made.ID || back.Spec.Image != made.Spec.Image || back.RootFSMissing {
		t.Errorf("restored: %+v", back)
	}
	must(t, w.Retire(t.Context(), name))
	must(t, w.Retire(t.Context(), name))
	_, err = w.Get(t.Context(), name)
	wantClass(t, err, driver.ErrNotFound)
	if kept, err := w.Kept(t.Context()); err != nil || len(kept) != 1 || !kept[0].Deleted || kept[0].Project != "counter" {
		t.Errorf("Kept: %+v, %v", kept, err)
	}
	back, err = w.Restore(t.Context(), name)
	must(t, err)
	if back.ID != made.ID || back.Run != nil || back.RootFSMissing {
		t.Errorf("restored once more: %+v", back)
	}
	_, err = w.Restore(t.Context(), name)
	wantClass(t, err, driver.ErrNotFound)
	_, err = w.Restore(t.Context(), "counter.none")
	wantClass(t, err, driver.ErrNotFound)
	again, err := w.Replace(t.Context(), replaced.Spec, nil)
	must(t, err)
	if again.Spec.Image != replaced.Spec.Image {
		t.Errorf("replaced again: %+v", again)
	}
}

// compact makes JSON texts comparable whose blanks differ.
func compact(raw []byte) string { return strings.Join(strings.Fields(string(raw)), "") }

func workspacesAbsent(t *testing.T, w WorkspacesUnder) {
	ctx := t.Context()
	if list, err := w.List(ctx); err != nil || len(list) != 0 {
		t.Errorf("List: %v, %v", list, err)
	}
	_, err := w.Get(ctx, "none")
	wantClass(t, err, driver.ErrNotFound)
	_, err = w.Update(ctx, w.Spec(t, "none"))
	wantClass(t, err, driver.ErrNotFound)
	_, err = w.Replace(ctx, w.Spec(t, "none"), nil)
	wantClass(t, err, driver.ErrNotFound)
	_, err = w.Reset(ctx, "none", "none", false, nil)
	wantClass(t, err, driver.ErrNotFound)
	_, err = w.Start(ctx, "none", driver.StartOptions{})
	wantClass(t, err, driver.ErrNotFound)
	_, err = w.Wait(ctx, "none")
	wantClass(t, err, driver.ErrNotFound)
	_, err = w.Stop(ctx, "none", driver.StopOptions{})
	wantClass(t, err, driver.ErrNotFound)
	_, err = w.Exec(ctx, "none", driver.ExecSpec{Argv: []string{"true"}}, driver.Streams{})
	wantClass(t, err, driver.ErrNotFound)
	wantClass(t, w.Logs(ctx, "none", driver.LogOptions{}, io.Discard, io.Discard), driver.ErrNotFound)
	_, _, err = w.OutputFile(ctx, "none", "x")
	wantClass(t, err, driver.ErrNotFound)
	must(t, w.Delete(ctx, "none"))
	for _, name := range []string{"", "..", "a/b", "A"} {
		spec := w.Spec(t, "good")
		spec.Name = name
		_, err := w.Create(ctx, spec, nil)
		wantClass(t, err, driver.ErrInvalid)
	}
}

func workspacesTask(t *testing.T, w WorkspacesUnder) {
	spec := w.Spec(t, "one")
	spec.Process = Shell(driver.ModeTask, "echo to stdout; echo to stderr >&2; echo 42 > /count; exit 3")
	spec.Outputs = []driver.Output{
		{Name: "count", Path: "/count"}, {Name: "extra", Path: "/extra", Optional: true}, {Name: "missing", Path: "/missing"},
	}
	_, err := w.Create(t.Context(), spec, nil)
	must(t, err)
	_, err = w.Wait(t.Context(), "one")
	wantClass(t, err, driver.ErrRefused)
	_, err = w.Start(t.Context(), "one", driver.StartOptions{RunKey: "v1:a"})
	must(t, err)
	run, err := w.Wait(t.Context(), "one")
	must(t, err)
	if run.Phase != driver.PhaseFinished || run.ExitCode == nil || *run.ExitCode != 3 || run.Key != "v1:a" || run.Stopped || run.Ended == nil {
		t.Errorf("run: %+v", run)
	}
	got, err := w.Get(t.Context(), "one")
	must(t, err)
	if got.Run == nil || got.Run.ID != run.ID || got.Run.Phase != driver.PhaseFinished {
		t.Errorf("Get after the run: %+v", got.Run)
	}
	if again, err := w.Wait(t.Context(), "one"); err != nil || again.ID != run.ID {
		t.Errorf("Wait after the end: %+v, %v", again, err)
	}
	var stdout, stderr bytes.Buffer
	must(t, w.Logs(t.Context(), "one", driver.LogOptions{}, &stdout, &stderr))
	if stdout.String() != "to stdout\n" || stderr.String() != "to stderr\n" {
		t.Errorf("logs: %q and %q", stdout.String(), stderr.String())
	}
	collected := map[string]driver.Fetched{}
	for _, c := range run.Collected {
		collected[c.Name] = c
	}
	if c := collected["count"]; c.Error != "" || c.Bytes != 3 || c.Files != 1 || c.Digest == "" {
		t.Errorf("collected count: %+v", c)
	}
	if collected["missing"].Error == "" {
		t.Errorf("a required output that is missing has no error: %+v", run.Collected)
	}
	if c := collected["extra"]; c.Error != "" {
		t.Errorf("an optional output that is missing has an error: %+v", c)
	}
	checkOutput(t, w, "one", "count", "42\n")
	_, _, err = w.OutputFile(t.Context(), "one", "missing")
	wantClass(t, err, driver.ErrNotFound)
	stopped, err := w.Stop(t.Context(), "one", driver.StopOptions{})
	if err != nil || stopped.Was {
		t.Errorf("Stop after the end: %+v, %v", stopped, err)
	}
	must(t, w.Delete(t.Context(), "one"))
}

func checkOutput(t *testing.T, w driver.Workspaces, name, output, want string) {
	t.Helper()
	r, _, err := w.OutputFile(t.Context(), name, output)
	must(t, err)
	defer r.Close()
	tr := tar.NewReader(r)
	h, err := tr.Next()
	must(t, err)
	data, err := io.ReadAll(tr)
	must(t, err)
	if h.Name != "." && h.Name != "./" || string(data) != want {
		t.Errorf("output %s: entry %q with %q", output, h.Name, data)
	}
}

func workspacesIdle(t *testing.T, w WorkspacesUnder) {
	spec := w.Spec(t, "one")
	spec.Process = driver.Process{Mode: driver.ModeIdle}
	spec.Ports = []driver.Port{{Name: "web", Guest: 80, Auto: true}, {Name: "named", Guest: 81}}
	_, err := w.Create(t.Context(), spec, nil)
	must(t, err)
	wantClass(t, w.Publish(t.Context(), "one", nil), driver.ErrRefused)
	wantClass(t, w.Permit(t.Context(), "one", nil), driver.ErrRefused)
	wantClass(t, w.SetEnv(t.Context(), "one", nil), driver.ErrRefused)
	wantClass(t, w.GrowRoot(t.Context(), "one", 1<<30), driver.ErrRefused)
	wantClass(t, w.Mount(t.Context(), "one", nil), driver.ErrRefused)
	wantClass(t, w.Resize(t.Context(), "one", 1, 256<<20), driver.ErrRefused)
	if denials, err := w.Denials(t.Context(), "one"); err != nil || len(denials) != 0 {
		t.Errorf("denials of a workspace that never ran: %+v, %v", denials, err)
	}
	_, err = w.Denials(t.Context(), "none")
	wantClass(t, err, driver.ErrNotFound)
	_, err = w.Exec(t.Context(), "one", driver.ExecSpec{Argv: []string{"true"}}, driver.Streams{})
	wantClass(t, err, driver.ErrRefused)
	if driver.Next(err) == "" {
		t.Errorf("%v does not say what to do next", err)
	}
	run, err := w.Start(t.Context(), "one", driver.StartOptions{Ports: []driver.Port{{Guest: 82, Auto: true}}})
	must(t, err)
	if run.Phase != driver.PhaseReady || run.Ready == nil {
		t.Errorf("started: %+v", run)
	}
	workspacesPorts(t, w, run)
	again, err := w.Start(t.Context(), "one", driver.StartOptions{})
	must(t, err)
	if again.ID != run.ID {
		t.Errorf("a second start began another run: %+v", again)
	}
	for _, own := range []driver.StartOptions{{Ports: []driver.Port{{Guest: 83, Auto: true}}}, {NoNetwork: true}} {
		_, err = w.Start(t.Context(), "one", own)
		wantClass(t, err, driver.ErrRefused)
	}
	wantClass(t, w.Permit(t.Context(), "one", nil), driver.ErrRefused) // it runs without a network
	var stdout, stderr bytes.Buffer
	code, err := w.Exec(t.Context(), "one", driver.ExecSpec{Argv: []string{"sh", "-c", "echo out; echo err >&2; exit 7"}},
		driver.Streams{Stdout: &stdout, Stderr: &stderr})
	must(t, err)
	if code != 7 || stdout.String() != "out\n" || stderr.String() != "err\n" {
		t.Errorf("exec: %d, %q, %q", code, stdout.String(), stderr.String())
	}
	workspacesLive(t, w, spec.DiskSize)
	stdout.Reset()
	input := strings.Repeat("0123456789abcdef", 1<<14)
	code, err = w.Exec(t.Context(), "one", driver.ExecSpec{Argv: []string{"cat"}},
		driver.Streams{Stdin: strings.NewReader(input), Stdout: &stdout})
	must(t, err)
	if code != 0 || stdout.String() != input {
		t.Errorf("cat: %d, %d of %d bytes", code, stdout.Len(), len(input))
	}
	later := spec
	later.CPUs++
	updated, err := w.Update(t.Context(), later)
	must(t, err)
	if updated.Spec.CPUs != later.CPUs || updated.Run == nil || !updated.Run.Phase.Alive() {
		t.Errorf("update of a running workspace: %+v", updated)
	}
	_, err = w.Replace(t.Context(), spec, nil)
	wantClass(t, err, driver.ErrBusy)
	err = w.Delete(t.Context(), "one")
	wantClass(t, err, driver.ErrBusy)
	if driver.Next(err) == "" {
		t.Errorf("%v does not say what to do next", err)
	}
	job := workspacesJobs(t, w, run)
	stopped, err := w.Stop(t.Context(), "one", driver.StopOptions{})
	must(t, err)
	if !stopped.Was {
		t.Errorf("Stop: %+v", stopped)
	}
	workspacesJobStopped(t, w, job)
	end, err := w.Wait(t.Context(), "one")
	must(t, err)
	if end.ID != run.ID || end.Phase != driver.PhaseFinished || !end.Stopped {
		t.Errorf("after the stop: %+v", end)
	}
	must(t, w.Delete(t.Context(), "one"))
}

// workspacesLive changes what a running workspace takes in place.
func workspacesLive(t *testing.T, w WorkspacesUnder, size int64) {
	t.Helper()
	for _, want := range []string{"blue", ""} {
		env := map[string]string{"PATH": "/bin:/usr/bin"}
		if want != "" {
			env["COLOUR"] = want
		}
		must(t, w.SetEnv(t.Context(), "one", env))
		var stdout bytes.Buffer
		_, err := w.Exec(t.Context(), "one", driver.ExecSpec{Argv: []string{"sh", "-c", "echo $COLOUR"}}, driver.Streams{Stdout: &stdout})
		must(t, err)
		if stdout.String() != want+"\n" {
			t.Errorf("the environment is not the new one: %q, not %q", stdout.String(), want)
		}
	}
	larger := size + 16<<20
	for range 2 {
		must(t, w.GrowRoot(t.Context(), "one", larger))
	}
	wantClass(t, w.GrowRoot(t.Context(), "one", size), driver.ErrRefused)
	ws, err := w.Get(t.Context(), "one")
	must(t, err)
	if ws.Run.Live == nil || ws.Run.Live.VM == nil || ws.Run.Live.VM.CPUs != ws.Spec.CPUs || ws.Run.Live.VM.Memory != ws.Spec.Memory {
		t.Fatalf("a guest with %d CPUs and %d bytes of memory has %+v", ws.Spec.CPUs, ws.Spec.Memory, ws.Run.Live)
	}
	must(t, w.Resize(t.Context(), "one", ws.Spec.CPUs, ws.Spec.Memory))
	err = w.Resize(t.Context(), "one", ws.Spec.CPUs+1, ws.Spec.Memory)
	wantClass(t, err, driver.ErrUnsupported)
	if driver.Next(err) == "" {
		t.Errorf("%v does not say what to do next", err)
	}
}
