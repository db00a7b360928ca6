package drivertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"sync"
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// FakeWorkspaces is driver.Workspaces in memory. A process runs in the fake shell; see Shell. The zero value is
// empty and attaches nothing.
type FakeWorkspaces struct {
	// Volumes, when it is set, is where runs attach the volumes that they mount.
	Volumes *FakeVolumes
	// Fail, when it is set, is asked before each change ("create", "update", "replace", "start", "stop",
	// "move", "retire", "restore", "delete") and before "wait" and "exec"; its error is what the call returns.
	Fail func(op, name string) error

	mu    sync.Mutex
	all   map[string]*fakeWorkspace
	gone  map[string]*fakeWorkspace // that were retired
	next  int
	calls []string
	asked int // how often Usage was
	// Denied are the records of each workspace's network.
	Denied map[string][]driver.Denial

	// probes are what those of some workspaces say, by name
	probes map[string]*driver.Readiness
}

type fakeWorkspace struct {
	driver.Workspace
	files   map[string]string
	prev    *fakeWorkspace // what a replacement kept
	used    bool           // its root file system was started from
	hold    bool           // the next task does not end by itself
	ended   chan struct{}  // closed at the end of the run
	shell   *fakeShell
	network *spec.Network     // of its run
	env     map[string]string // of what begins in its run
	root    int64             // size of its root file system
	outputs map[string][]byte
	jobs    []*fakeJob // oldest first
}

var _ driver.Workspaces = (*FakeWorkspaces)(nil)

// Calls lists the changes that were asked for, in their order: "create counter", "start counter".
func (f *FakeWorkspaces) Calls() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.calls...)
}

func (f *FakeWorkspaces) call(op, name string) error {
	f.mu.Lock()
	f.calls = append(f.calls, op+" "+name)
	fail := f.Fail
	f.mu.Unlock()
	if fail == nil {
		return nil
	}
	return fail(op, name)
}

func (f *FakeWorkspaces) get(op, name string) (*fakeWorkspace, error) {
	w, ok := f.all[name]
	if !ok {
		return nil, &driver.Error{Class: driver.ErrNotFound, Op: op, Object: name, Err: errors.New("there is no such workspace")}
	}
	return w, nil
}

func (w *fakeWorkspace) alive() bool { return w.Run != nil && w.Run.Phase.Alive() }

func (w *fakeWorkspace) copy() driver.Workspace {
	out := w.Workspace
	out.Spec = cloneSpec(w.Spec)
	if w.Run != nil {
		out.Run = new(*w.Run)
	}
	return out
}

// cloneSpec keeps a caller's maps and slices apart from the fake's, as a record on disk would.
func cloneSpec(spec driver.WorkspaceSpec) driver.WorkspaceSpec {
	data, err := json.Marshal(spec)
	if err != nil {
		panic(err)
	}
	var out driver.WorkspaceSpec
	if err := json.Unmarshal(data, &out); err != nil {
		panic(err)
	}
	return out
}

func (f *FakeWorkspaces) clock() time.Time {
	f.next++
	return time.Unix(int64(f.next), 0).UTC()
}

func (w *fakeWorkspace) record() {
	w.RecordDigest = fakeDigest([]any{w.Spec, w.ID, w.Created, w.Updated})
}

// List gives the workspaces by name.
func (f *FakeWorkspaces) List(context.Context) ([]driver.Workspace, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []driver.Workspace
	for _, w := range sortedValues(f.all) {
		list = append(list, w.copy())
	}
	return list, nil
}

// Get gives one workspace.
func (f *FakeWorkspaces) Get(_ context.Context, name string) (driver.Workspace, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.get("look at workspace", name)
	if err != nil {
		return driver.Workspace{}, err
	}
	return w.copy(), nil
}

// Create makes a workspace.
func (f *FakeWorkspaces) Create(_ context.Context, spec driver.WorkspaceSpec, _ driver.Progress) (driver.Workspace, error) {
	const op = "create workspace"
	if err := fakeName(op, spec.Name); err != nil {
		return driver.Workspace{}, err
	}
	if err := f.call("create", spec.Name); err != nil {
		return driver.Workspace{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.all[spec.Name]; ok {
		return driver.Workspace{}, &driver.Error{Class: driver.ErrExists, Op: op, Object: spec.Name}
	}
	if f.all == nil {
		f.all = map[string]*fakeWorkspace{}
	}
	now := f.clock()
	w := &fakeWorkspace{files: map[string]string{}, Workspace: driver.Workspace{
		Spec: cloneSpec(spec), ID: fmt.Sprintf("%016x", f.next), Created: now, Updated: now, Folder: "/state/workspaces/" + spec.Name,
	}}
	w.record()
	f.all[spec.Name] = w
	return w.copy(), nil
}

// Update writes a new spec.
func (f *FakeWorkspaces) Update(_ context.Context, spec driver.WorkspaceSpec) (driver.Workspace, error) {
	const op = "update workspace"
	if err := f.call("update", spec.Name); err != nil {
		return driver.Workspace{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.get(op, spec.Name)
	if err != nil {
		return driver.Workspace{}, err
	}
	spec.RootFS = w.Spec.RootFS
	switch {
	case fakeDigest(spec) == fakeDigest(w.Spec):
		return w.copy(), nil
	case spec.ImageDigest != w.Spec.ImageDigest:
		return driver.Workspace{}, &driver.Error{Class: driver.ErrInvalid, Op: op, Object: spec.Name, Err: errors.New("another image")}
	case spec.DiskSize < w.Spec.DiskSize:
		return driver.Workspace{}, &driver.Error{Class: driver.ErrRefused, Op: op, Object: spec.Name, Err: errors.New("a smaller disk")}
	}
	w.Spec, w.Updated = cloneSpec(spec), f.clock()
	w.record()
	return w.copy(), nil
}

// Replace gives the workspace a new root file system.
func (f *FakeWorkspaces) Replace(_ context.Context, spec driver.WorkspaceSpec, _ driver.Progress) (driver.Workspace, error) {
	const op = "replace workspace"
	if err := f.call("replace", spec.Name); err != nil {
		return driver.Workspace{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.get(op, spec.Name)
	if err != nil {
		return driver.Workspace{}, err
	}
	if w.alive() {
		return driver.Workspace{}, fakeRuns(op, spec.Name)
	}
	w.prev = &fakeWorkspace{Workspace: w.copy(), files: w.files}
	f.renew(w, spec)
	return w.copy(), nil
}

// renew gives w a root file system on which nothing was written.
func (f *FakeWorkspaces) renew(w *fakeWorkspace, spec driver.WorkspaceSpec) {
	w.Spec, w.Updated, w.files, w.used = cloneSpec(spec), f.clock(), map[string]string{}, false
	w.ID, w.RootFSMissing = fmt.Sprintf("%016x", f.next), false
	w.record()
}

// Reset gives a workspace that was started a fresh root file system of its image.
func (f *FakeWorkspaces) Reset(_ context.Context, name, rootfs string, lose bool, _ driver.Progress) (driver.Workspace, error) {
	if err := f.call("reset", name); err != nil {
		return driver.Workspace{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.get("reset workspace", name)
	if err != nil {
		return driver.Workspace{}, err
	}
	if w.alive() {
		return driver.Workspace{}, fakeRuns("reset workspace", name)
	}
	spec := w.Spec
	spec.RootFS = rootfs
	if w.used && !lose {
		w.prev = &fakeWorkspace{Workspace: w.copy(), files: w.files}
	}
	if w.used || w.RootFSMissing {
		f.renew(w, spec)
	}
	return w.copy(), nil
}

// Retire removes a stopped workspace and keeps its root file system.
func (f *FakeWorkspaces) Retire(_ context.Context, name string) error {
	return f.remove("retire", name, func(w *fakeWorkspace) {
		if f.gone == nil {
			f.gone = map[string]*fakeWorkspace{}
		}
		w.Run, w.prev, w.jobs = nil, nil, nil
		f.gone[name] = w
	})
}

// remove takes a stopped workspace out, and gives it to also, with the lock held.
func (f *FakeWorkspaces) remove(does, name string, also func(*fakeWorkspace)) error {
	if err := f.call(does, name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, ok := f.all[name]
	if !ok {
		return nil
	}
	if w.alive() {
		return fakeRuns(does+" workspace", name)
	}
	delete(f.all, name)
	also(w)
	return nil
}

// Kept lists what replacements and Retire kept.
func (f *FakeWorkspaces) Kept(context.Context) ([]driver.Kept, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.kept(), nil
}

func (f *FakeWorkspaces) kept() []driver.Kept {
	list := map[string]driver.Kept{}
	add := func(name string, w *fakeWorkspace, deleted bool) {
		list[name] = driver.Kept{Workspace: name, Project: w.Spec.Project, Image: w.Spec.Image, Bytes: w.Spec.DiskSize, Since: w.Updated, Deleted: deleted, Known: true}
	}
	for name, w := range f.gone {
		add(name, w, f.all[name] == nil)
	}
	for name, w := range f.all {
		if w.prev != nil {
			add(name, w.prev, false)
		}
	}
	return sortedValues(list)
}

// Restore brings back what is kept.
func (f *FakeWorkspaces) Restore(_ context.Context, name string) (driver.Workspace, error) {
	const op = "restore workspace"
	if err := errors.Join(fakeName(op, name), f.call("restore", name)); err != nil {
		return driver.Workspace{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, gone := f.all[name], f.gone[name]
	switch {
	case w == nil && gone != nil:
		delete(f.gone, name)
		w = gone
		f.all[name] = w
	case w == nil || w.prev == nil && gone == nil:
		return driver.Workspace{}, &driver.Error{Class: driver.ErrNotFound, Op: op, Object: name, Err: errors.New("nothing of it was kept")}
	case w.alive():
		return driver.Workspace{}, fakeRuns(op, name)
	default:
		was := w.prev
		if was == nil {
			was = gone
			delete(f.gone, name)
		}
		now := &fakeWorkspace{Workspace: w.copy(), files: w.files}
		w.Spec, w.ID, w.files, w.prev, w.used = was.Spec, was.ID, was.files, now, true
		w.Spec.Name, w.Spec.Project = now.Spec.Name, now.Spec.Project
	}
	w.Updated = f.clock()
	w.record()
	return w.copy(), nil
}

// Prune forgets what is kept.
func (f *FakeWorkspaces) Prune(_ context.Context, dry bool) (int64, []string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var freed int64
	var names []string
	for _, k := range f.kept() {
		freed, names = freed+k.Bytes, append(names, k.Workspace)
	}
	if dry {
		return freed, names, nil
	}
	f.gone = nil
	for _, w := range f.all {
		w.prev = nil
	}
	return freed, names, nil
}

func fakeRuns(op, name string) error {
	return &driver.Error{Class: driver.ErrBusy, Op: op, Object: name, Err: errors.New("it runs"), Next: "microagent halt " + name}
}

// Move changes the name.
func (f *FakeWorkspaces) Move(_ context.Context, from, to, project string) error {
	const op = "move workspace"
	if err := errors.Join(fakeName(op, from), fakeName(op, to)); err != nil {
		return err
	}
	if from == to {
		return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: from, Err: errors.New("its name already")}
	}
	if err := f.call("move", from); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w, err := f.get(op, from)
	if err != nil {
		return err
	}
	if _, taken := f.all[to]; taken {
		return &driver.Error{Class: driver.ErrExists, Op: op, Object: from, Err: errors.New("the name is taken")}
	}
	if w.alive() {
		return fakeRuns(op, from)
	}
	delete(f.all, from)
	w.Spec.Name, w.Spec.Project, w.Folder = to, project, "/state/workspaces/"+to
	w.record()
	f.all[to] = w
	return nil
}

// Delete removes a stopped workspace.
func (f *FakeWorkspaces) Delete(_ context.Context, name string) error {
	return f.remove("delete", name, func(*fakeWorkspace) {})
}

// Files are the files that the workspace's processes wrote, by path.
func (f *FakeWorkspaces) Files(name string) map[string]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, ok := f.all[name]
	if !ok {
		return nil
	}
	return maps.Clone(w.files)
}
