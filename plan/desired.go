package plan

import (
	"maps"
	"slices"
	"strings"
	"time"

	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/spec"
)

// OnDisk is the name on disk of an object of a project.
func OnDisk(project, name string) string { return project + "." + name }

// inManifest is the name in the manifest of an object of a project.
func inManifest(project, name string) string { return strings.TrimPrefix(name, project+".") }

// desiredSpec brings a declared workspace into the form that is recorded and compared. What is not known yet stays "".
func desiredSpec(m *schema.Manifest, order *schema.Order, name string, w *observed.World) observed.WorkspaceSpec {
	ws := m.Workspaces[name]
	image, digest := imageOf(w, ws.Image)
	want := observed.WorkspaceSpec{
		Name: OnDisk(m.Project, name), Project: m.Project,
		Image: image, ImageDigest: digest,
		CPUs: ws.CPUs, Memory: int64(ws.Memory), MaxCPUs: ws.MaxCPUs, MaxMemory: int64(ws.MaxMemory), DiskSize: int64(ws.Disk),
		Mode: modeOf(ws), Desired: ws.Desired,
		Argv:       slices.Clone(append(ws.Task[:len(ws.Task):len(ws.Task)], ws.Service...)),
		Entrypoint: slices.Clone(ws.Entrypoint),
		NoEntry:    ws.Entrypoint != nil && len(ws.Entrypoint) == 0,
		Guest:      ws.Guest,
		Timeout:    time.Duration(ws.Timeout), StopGrace: time.Duration(ws.StopGrace), Isolation: ws.Isolation,
	}
	want.Env = maps.Clone(ws.Env)
	for _, path := range slices.Sorted(maps.Keys(ws.Mounts)) {
		want.Mounts = append(want.Mounts, desiredMount(m, path, ws.Mounts[path], w))
	}
	for _, name := range slices.Sorted(maps.Keys(ws.Ports)) {
		want.Ports = append(want.Ports, ws.Ports[name])
	}
	for _, f := range order.First(name) {
		want.After = append(want.After, f.After)
	}
	want.Ready = ws.Ready
	if ws.Restart != spec.Restart("").Of(want.Mode) { // what holds without the key is not recorded: older records have none
		want.Restart = ws.Restart
	}
	if ws.Boot == spec.BootFresh { // nor is this
		want.Boot = ws.Boot
	}
	return normalize(want)
}

func modeOf(ws schema.Workspace) spec.Mode {
	switch {
	case ws.Task != nil:
		return spec.ModeTask
	case ws.Service != nil:
		return spec.ModeService
	}
	return spec.ModeIdle
}

// imageOf is the normalised reference and the digest that ref stands for.
func imageOf(w *observed.World, ref string) (normalised, digest string) {
	img := w.Images[ref]
	normalised, digest = img.Ref, img.Digest
	if normalised == "" {
		normalised = ref
	}
	if img.Moved != "" {
		digest = img.Moved
	}
	return normalised, digest
}

func desiredMount(m *schema.Manifest, path string, d schema.Mount, w *observed.World) spec.Mount {
	out := spec.Mount{Path: path, ReadOnly: d.ReadOnly, Owner: d.Owner, Mode: uint32(d.Mode)}
	switch {
	case d.Volume != "":
		out.Kind, out.Name = spec.MountVolume, volumeOnDisk(m, d.Volume)
		out.Source = w.Volumes[out.Name].ID
	case d.Bundle != "":
		out.Kind, out.Name, out.ReadOnly = spec.MountBundle, d.Bundle, true
		out.Source = w.Sources[d.Bundle].Digest
	case d.Disk != "":
		disk := w.Disks[d.Disk]
		out.Kind, out.Name, out.Source, out.DiskID = spec.MountDisk, d.Disk, disk.Path, disk.ID
	}
	return out
}

// volumeOnDisk is the name on disk of a declared volume: external ones have bare names.
func volumeOnDisk(m *schema.Manifest, name string) string {
	if m.Volumes[name].External {
		return name
	}
	return OnDisk(m.Project, name)
}

// normalize gives empty and absent collections one form, so that a spec equals itself after a trip through a record.
func normalize(s observed.WorkspaceSpec) observed.WorkspaceSpec {
	if len(s.Argv) == 0 {
		s.Argv = nil
	}
	if len(s.Entrypoint) == 0 {
		s.Entrypoint = nil
	}
	if len(s.Env) == 0 {
		s.Env = nil
	}
	if len(s.Mounts) == 0 {
		s.Mounts = nil
	}
	if len(s.Ports) == 0 {
		s.Ports = nil
	}
	if len(s.Outputs) == 0 {
		s.Outputs = nil
	}
	if len(s.After) == 0 {
		s.After = nil
	}
	return s
}
