package apply

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"microagent/apply/folder"
	"microagent/apply/refresh"
	"microagent/plan"
	"microagent/plan/observed"
	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/schema/spec"
)

func (r *run) applyWorkspace(ctx, whole context.Context, c *plan.Change, p driver.Progress) error {
	ws := r.drivers.Workspaces
	name := plan.OnDisk(r.plan.Project, c.Address.Name)
	if c.Action == plan.ActionDelete {
		if _, err := r.drivers.Runs.Stop(whole, name, driver.StopOptions{}); err != nil && !errors.Is(err, driver.ErrNotFound) {
			return err
		}
		return r.takeAway(whole, c, name)
	}
	if c.Workspace == nil {
		return unknownOperation(c)
	}
	var spec driver.WorkspaceSpec
	recorded := (c.Action == plan.ActionStart || c.Action == plan.ActionStop || c.Action == plan.ActionWait) && len(c.Fields) == 0
	if !recorded { // before the guest stops: downtime is a stop and a start
		var err error
		if spec, err = r.resolve(ctx, *c.Workspace, p); err != nil {
			return err
		}
	}
	var did []string
	done := func(what string) { did = append(did, what) }
	stop := func() error {
		stopped, err := r.drivers.Runs.Stop(whole, name, driver.StopOptions{})
		if err == nil && stopped.Was {
			done("stopped")
		}
		return err
	}
	update := func() error {
		if recorded {
			return nil
		}
		_, err := ws.Update(whole, spec)
		if err == nil {
			done("updated")
		}
		return err
	}
	inPlace := func() error { return r.changeInPlace(whole, c, spec, done) }
	keep := func() error { return r.snapshot(whole, c, done) }
	create := func() error {
		_, err := ws.Create(whole, spec, p)
		if err == nil {
			done("created")
		}
		return err
	}
	replace := func() error {
		err := r.replaceWorkspace(whole, c, spec, p)
		if err == nil {
			done("replaced")
		}
		return err
	}
	start := func() error {
		return r.start(ctx, whole, *c.Workspace, func(what string) {
			if c.Action != plan.ActionWait { // another command started it
				done(what)
			}
		})
	}
	steps, ok := map[plan.Action][]func() error{
		plan.ActionCreate:  {keep, create, start},
		plan.ActionUpdate:  {inPlace, update},
		plan.ActionRestart: {stop, keep, update, start},
		plan.ActionReplace: {stop, keep, replace, start},
		plan.ActionStart:   {keep, update, start},
		plan.ActionStop:    {stop, update},
		plan.ActionWait:    {start}, // which waits for a start that is under way
	}[c.Action]
	if !ok {
		return unknownOperation(c)
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return &partlyError{did, err}
		}
	}
	return nil
}

// start boots what is declared to run without a task; a task is a change of its own. done names what it came to.
func (r *run) start(ctx, whole context.Context, want observed.WorkspaceSpec, done func(string)) error {
	if want.Desired == spec.DesiredStopped || want.Mode == spec.ModeTask {
		return nil
	}
	begun, err := r.drivers.Runs.Start(whole, want.Name, driver.StartOptions{Fresh: r.fresh})
	if err != nil {
		return err
	}
	done("started")
	r.sayPorts(want.Name, begun.Ports)
	if want.Ready != nil && !r.noWait {
		r.begun(r.address(want.Name))
		return r.awaitReady(ctx, want)
	}
	return Started{want.Name, want.Mode, begun}.AwaitStanding(whole, r.drivers)
}

// awaitReady waits until a workspace that was started is ready, and tells of it.
func (r *run) awaitReady(ctx context.Context, want observed.WorkspaceSpec) error {
	_, err := Started{Name: want.Name, Mode: want.Mode}.AwaitReady(ctx, r.drivers, r.waitTimeout)
	if err == nil {
		r.events.Emit(event.Event{Type: event.TypeReady, Time: time.Now(), Address: r.address(want.Name).String(), Message: want.Ready.Probe()})
	}
	return err
}

// address is that of a workspace of the project, by its name on disk.
func (r *run) address(name string) plan.Address {
	return plan.Address{Kind: plan.KindWorkspace, Name: strings.TrimPrefix(name, r.plan.Project+".")}
}

// sayPorts tells where ports are published: the number of an automatic one is known now.
func (r *run) sayPorts(name string, list []spec.PortState) {
	address := r.address(name).String()
	for _, p := range list {
		r.events.Emit(event.Event{Type: event.TypeNote, Time: time.Now(), Address: address, Port: new(portOf(p)),
			Message: fmt.Sprintf("port %s is at %s", cmp.Or(p.Name, p.Inside()), p.Where())})
	}
}

func portOf(p spec.PortState) event.Port {
	return event.Port{Name: p.Name, Guest: int(p.Guest), Protocol: string(cmp.Or(p.Protocol, spec.TCP)), Host: int(p.Host), Socket: p.Socket}
}

// resolve fills in what only the walk can know, makes the root file system's disk, and brings the spec into the
// driver's form.
func (r *run) resolve(ctx context.Context, want observed.WorkspaceSpec, p driver.Progress) (driver.WorkspaceSpec, error) {
	image, err := r.findImage(ctx, &want)
	if err != nil {
		return driver.WorkspaceSpec{}, err
	}
	out := driver.WorkspaceSpec{
		Name: want.Name, Project: want.Project, Image: want.Image, ImageDigest: want.ImageDigest,
		DiskSize: want.DiskSize, CPUs: want.CPUs, Memory: want.Memory, MaxCPUs: want.MaxCPUs, MaxMemory: want.MaxMemory, Isolation: want.Isolation, Boot: want.Boot,
		StopGrace: want.StopGrace, Process: mergeProcess(want, image.Config), Outputs: want.Outputs, Ports: want.Ports, Network: want.Network,
		Ready: want.Ready, Restart: want.Restart,
	}
	if out.RootFS, err = unpack(ctx, r.drivers, &out, p); err != nil {
		return driver.WorkspaceSpec{}, err
	}
	for i := range want.Mounts {
		mount, err := r.resolveMount(ctx, &want.Mounts[i])
		if err != nil {
			return driver.WorkspaceSpec{}, err
		}
		out.Mounts = append(out.Mounts, mount)
	}
	err = refresh.Record(want, &out)
	return out, err
}

// unpack makes the disk that a workspace's root file system begins as, and gives its key.
func unpack(ctx context.Context, d driver.Set, of *driver.WorkspaceSpec, p driver.Progress) (string, error) {
	disk, err := d.Disks.RootFS(ctx, driver.RootFSSpec{ImageDigest: of.ImageDigest, Size: of.DiskSize}, p)
	if err != nil {
		return "", &driver.Error{Op: "unpack image", Object: of.Image, Err: err, Next: driver.Next(err)}
	}
	return disk.Key, nil
}

// findImage is the image of want in the store; want's digest is filled in when it was known after pull only.
func (r *run) findImage(ctx context.Context, want *observed.WorkspaceSpec) (driver.Image, error) {
	key := cmp.Or(want.ImageDigest, want.Image)
	r.mu.Lock()
	img, ok := r.images[key]
	r.mu.Unlock()
	if !ok && want.ImageDigest != "" {
		img, err := r.drivers.Images.Get(ctx, want.ImageDigest)
		if err == nil {
			r.mu.Lock()
			r.images[key] = img
			r.mu.Unlock()
		}
		return img, err
	}
	if !ok {
		return img, &driver.Error{Class: driver.ErrNotFound, Op: "find image", Object: want.Image,
			Err: errors.New("the plan did not bring it in"), Next: "make a new plan: microagent plan"}
	}
	want.ImageDigest = img.Digest
	return img, nil
}

func (r *run) resolveMount(ctx context.Context, m *spec.Mount) (spec.Mount, error) {
	out := *m
	switch out.Kind {
	case spec.MountVolume:
		v, err := r.drivers.Volumes.Find(ctx, m.Name)
		if err != nil {
			return out, err
		}
		if m.Source != "" && m.Source != v.ID {
			return out, &driver.Error{Class: driver.ErrStale, Op: "attach volume", Object: m.Name,
				Err: errors.New("it was deleted and made anew since the plan"), Next: "make a new plan: microagent plan"}
		}
		m.Source, out.Source = v.ID, v.ID
	case spec.MountBundle:
		if m.Source == "" { // made of an output that came in this walk
			r.mu.Lock()
			m.Source = r.digests[m.Name]
			r.mu.Unlock()
		}
		disk, err := r.drivers.Disks.FindBundle(ctx, m.Source)
		if err != nil {
			return out, fmt.Errorf("attach bundle %s: %w", m.Name, err)
		}
		out.Source = disk.Key
	case spec.MountDisk:
		// opened beneath the manifest's folder, so that a link swapped in since the plan leads nowhere else
		info, err := r.files.Stat(m.Source)
		if err != nil {
			return out, fmt.Errorf("attach disk %s: %w", m.Name, err)
		}
		if id := folder.DiskID(info); m.DiskID != "" && id != m.DiskID {
			return out, &driver.Error{Class: driver.ErrStale, Op: "attach disk", Object: m.Name,
				Err: errors.New("it is another file than when it was planned"), Next: "make a new plan: microagent plan"}
		}
	}
	return out, nil
}

// mergeProcess merges the image's config under what the manifest declares.
func mergeProcess(want observed.WorkspaceSpec, image spec.ImageConfig) spec.Process {
	p := spec.Process{Mode: want.Mode, Guest: want.Guest,
		StopSignal: image.StopSignal, Directories: image.Volumes, Timeout: want.Timeout}
	p.Env = map[string]string{}
	maps.Copy(p.Env, image.Env)
	maps.Copy(p.Env, want.Env)
	p.User = cmp.Or(p.User, image.User)
	p.Workdir = cmp.Or(p.Workdir, image.WorkingDir)
	if p.Mode != spec.ModeIdle {
		p.Argv = Argv(want, image)
	}
	return p
}

// Argv is the whole command of want on an image with that config: argv replaces Cmd, the entrypoint goes before it unless
// want has its own, and then the image's Cmd goes as well.
func Argv(want observed.WorkspaceSpec, image spec.ImageConfig) []string {
	entrypoint, cmd := image.Entrypoint, want.Argv
	own := len(want.Entrypoint) > 0 || want.NoEntry
	if own {
		entrypoint = want.Entrypoint
	}
	if len(cmd) == 0 && !own {
		cmd = image.Cmd
	}
	return append(slices.Clone(entrypoint), cmd...)
}
