// Package refresh is the only reader of the world: it asks the drivers, registries and the manifest's source files
// and fills plan/observed. It writes nothing that has a name, takes no exclusive lock and works on a read-only state directory.
// The commands call it before plan.Make, and apply calls Records again before it acts.
package refresh

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"microagent/apply/folder"
	"microagent/plan/observed"
	"microagent/runtime/driver"
	"microagent/schema"
	"microagent/schema/spec"
)

// Options say how far refresh goes.
type Options struct {
	Manifest string // absolute path, to see whether the project moved
	Pull     bool   // ask registries for a newer digest behind each tag
	Offline  bool   // ask no registry at all
	Drafts   bool   // the plan is to be applied: let the disks of bundles be made while their sources are read
	// Normal gives a reference in its full form, or as it is when it can't be read. Nil: as it is.
	Normal func(ref string) string
}

func (o Options) normal(ref string) string {
	if o.Normal == nil {
		return ref
	}
	return o.Normal(ref)
}

// World reads everything that a plan for m can rest on.
func World(ctx context.Context, d driver.Set, m *schema.Manifest, files *folder.Folder, o Options) (*observed.World, error) {
	w, state, err := objects(ctx, d, o.Manifest, append([]string{m.Project}, m.NamesBefore("project", m.Project)...)...)
	if err != nil {
		return nil, err
	}
	files.Claim(claims(m, o.Manifest))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(4)
	g.Go(func() (err error) {
		w.Sources, err = sources(ctx, d, m, files, state, o.Drafts)
		return err
	})
	g.Go(func() (err error) {
		w.Host, err = d.Hosts.Observe(ctx, len(m.Workspaces) > 0)
		return err
	})
	g.Go(func() (err error) {
		w.Images, err = images(ctx, d, m, files, w.Workspaces, o)
		return err
	})
	g.Go(func() (err error) {
		w.Snapshots, err = snapshots(ctx, d, m, w.Volumes)
		return err
	})
	g.Go(func() error {
		w.VolumeImages = volumeImages(m, files, w.Volumes)
		w.Disks = disks(m, files)
		return nil
	})
	g.Go(func() (err error) {
		if publishes(m) {
			w.Servers, err = d.Hosts.Servers(ctx)
		}
		return err
	})
	g.Go(func() (err error) {
		w.Outputs, err = outputs(ctx, d, m, files)
		return err
	})
	return w, g.Wait()
}

// publishes says whether m takes ports of the host by their numbers.
func publishes(m *schema.Manifest) bool {
	for _, ws := range m.Workspaces {
		for _, p := range ws.Ports {
			if p.Host != 0 {
				return true
			}
		}
	}
	return false
}

// Project reads what a plan of destroy rests on: records, no sources.
func Project(ctx context.Context, d driver.Set, project string, o Options) (*observed.World, error) {
	w, _, err := objects(ctx, d, o.Manifest, project)
	if err != nil {
		return nil, err
	}
	w.Host, err = d.Hosts.Observe(ctx, false) // nothing starts
	return w, err
}

// Records is the digest of every record, by "kind/name on disk".
func Records(ctx context.Context, d driver.Set) (map[string]string, error) {
	w, _, err := objects(ctx, d, "")
	if err != nil {
		return nil, err
	}
	return w.Records, nil
}

// recorded is what records remember for refresh itself.
type recorded struct {
	bundles map[string]driver.BundleRecord // by name on disk
}

// objects reads all records. What of them can't be understood is told of the objects of the projects; the first of these is
// the one in hand.
func objects(ctx context.Context, d driver.Set, manifest string, projects ...string) (*observed.World, recorded, error) {
	w := &observed.World{
		Volumes:    map[string]observed.Volume{},
		Workspaces: map[string]observed.Workspace{},
		Bundles:    map[string]observed.Bundle{},
		Sources:    map[string]observed.Source{},
		Images:     map[string]observed.Image{},
		Disks:      map[string]observed.Disk{},
		Outputs:    map[string]observed.Output{},
		Records:    map[string]string{},
		Projects:   map[string]observed.Project{},
	}
	rec := recorded{bundles: map[string]driver.BundleRecord{}}

	volumes, err := d.Volumes.List(ctx)
	broken, err := unreadable(err)
	if err != nil {
		return nil, rec, err
	}
	for name, why := range broken {
		if project := ownerOf(projects, name); project != "" {
			w.Volumes[name] = observed.Volume{Project: project, Broken: why}
		}
	}
	for _, v := range volumes {
		o := observed.Volume{ID: v.ID, Project: v.Project, Size: v.Size, Recorded: v.Recorded, Declared: v.Declared, Protected: v.Protected, Missing: v.ImageMissing, Changed: v.Changed,
			NoRecord: v.RecordDigest == "", Unborn: v.Unborn}
		if v.Attached {
			o.Holder = "another process"
			if v.Holder != nil {
				o.Holder, o.HolderReadOnly = v.Holder.Workspace, v.Holder.ReadOnly
			}
		}
		w.Volumes[v.Name] = o
		w.Records["volume/"+v.Name] = v.RecordDigest
	}

	workspaces, err := d.Workspaces.List(ctx)
	if broken, err = unreadable(err); err != nil {
		return nil, rec, err
	}
	for name, why := range broken {
		if project := ownerOf(projects, name); project != "" {
			w.Workspaces[name] = observed.Workspace{Spec: observed.WorkspaceSpec{Name: name, Project: project}, Broken: why}
		}
	}
	for _, ws := range workspaces {
		w.Workspaces[ws.Spec.Name] = workspace(ws)
		w.Records["workspace/"+ws.Spec.Name] = ws.RecordDigest
	}

	bundles, err := d.Projects.Bundles(ctx)
	if err != nil {
		return nil, rec, err
	}
	for _, b := range bundles {
		_, err := d.Disks.FindBundle(ctx, b.Fingerprint.Digest)
		if err != nil && !errors.Is(err, driver.ErrNotFound) {
			return nil, rec, err
		}
		rec.bundles[b.Name] = b
		w.Bundles[b.Name] = observed.Bundle{Project: b.Project, Digest: b.Fingerprint.Digest, Source: b.Source, Built: err == nil}
		w.Records["bundle/"+b.Name] = b.RecordDigest
	}

	list, err := d.Projects.List(ctx)
	if err != nil {
		return nil, rec, err
	}
	for _, p := range list {
		w.Records["project/"+p.Name] = p.RecordDigest
		o := observed.Project{Manifest: p.Manifest, Outputs: p.Outputs, MovingFrom: p.MovingFrom}
		if slices.Contains(projects, p.Name) && manifest != "" && p.Manifest != "" && p.Manifest != manifest {
			_, err := os.Stat(p.Manifest)
			o.Moved = err == nil
		}
		if len(projects) > 0 && p.Name == projects[0] {
			w.Project = o
		} else {
			w.Projects[p.Name] = o
		}
	}
	return w, rec, nil
}

// unreadable takes the records that can't be understood, or not by this version, out of a list's error: why, by the name on
// disk. Each is a matter of the plan of its own project, and of nobody else's.
func unreadable(err error) (map[string]observed.Broken, error) {
	list := map[string]observed.Broken{}
	var left []error
	for _, one := range each(err) {
		e, ok := one.(*driver.Error)
		switch {
		case ok && errors.Is(e.Class, driver.ErrCorrupt):
			list[e.Object] = observed.Broken{Why: e.Err.Error()}
		case ok && errors.Is(e.Class, driver.ErrUnsupported):
			list[e.Object] = observed.Broken{Why: e.Err.Error(), Next: e.Next}
		default:
			left = append(left, one)
		}
	}
	return list, errors.Join(left...)
}

// each takes a joined error apart.
func each(err error) []error {
	if err == nil {
		return nil
	}
	if _, single := err.(*driver.Error); !single {
		if joined, ok := err.(interface{ Unwrap() []error }); ok {
			var all []error
			for _, one := range joined.Unwrap() {
				all = append(all, each(one)...)
			}
			return all
		}
	}
	return []error{err}
}

// ownerOf says by its name on disk which of the projects an object is of, "" for none: its record can't say it.
func ownerOf(projects []string, name string) string {
	project, _, ok := strings.Cut(name, ".")
	if !ok || !slices.Contains(projects, project) {
		return ""
	}
	return project
}

func workspace(ws driver.Workspace) observed.Workspace {
	o := observed.Workspace{ID: ws.ID, RootFSMissing: ws.RootFSMissing}
	var err error
	if o.Spec, err = Applied(ws.Spec); err != nil {
		// made by `create` or `run`, or by an engine with another form: its name and owner are all that counts
		o.Spec = observed.WorkspaceSpec{Name: ws.Spec.Name, Project: ws.Spec.Project}
	}
	r := ws.Run
	if r == nil {
		return o
	}
	if r.Phase.Alive() {
		for _, p := range r.Ports {
			o.Ports = append(o.Ports, p.Port)
		}
	}
	o.Running, o.Starting, o.BacksOff = r.Phase.Alive(), r.Phase == spec.PhaseStarting, r.BacksOff()
	if l := r.Live; l != nil && o.Running {
		o.Live = &observed.Live{Mounts: l.Mounts, Fixed: l.Fixed, Room: l.Room, VM: l.VM}
	}
	if ready := r.Readiness; ready != nil && o.Running && ready.State != driver.ReadyYes {
		o.NotReady = ready.Probe
	}
	o.Run = &observed.Run{
		ID: r.ID, Key: r.Key, Phase: r.Phase, Started: r.Started, ExitCode: r.ExitCode, Stopped: r.Stopped,
		TimedOut: r.TimedOut, Error: r.Error, VMM: r.VMM, Hardware: r.Hardware, Collected: map[string]observed.Collected{},
	}
	for _, c := range r.Collected {
		o.Run.Collected[c.Name] = observed.Collected{Digest: c.Digest, WithGit: c.WithGit, Err: c.Error, From: c.From}
	}
	return o
}
