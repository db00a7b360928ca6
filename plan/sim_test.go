package plan_test

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"microagent/plan"
	"microagent/plan/observed"
	"microagent/schema"
	"microagent/schema/spec"
)

// sim is a world that plans are applied to, following what plan.Action says and nothing else. It fails its test when
// a plan asks for what the drivers would refuse: two kernels on one disk, an image that is not in the store, a task
// without a run key.
type sim struct {
	t          testing.TB
	volumes    map[string]observed.Volume
	workspaces map[string]observed.Workspace
	bundles    map[string]observed.Bundle
	sources    map[string]string // digest by bundle name
	cache      map[string]bool   // bundle digests with a disk
	registry   map[string]string // digest by reference
	store      map[string]bool   // digests
	targets    map[string]string // digest by path on the host
	records    map[string]string
	diskIDs    map[string]string // by disk name
	project    observed.Project
	lossy      []string                    // what --allow-data-loss names
	named      string                      // what project is of, once there is one
	projects   map[string]observed.Project // all others
	host       spec.Host
	servers    []spec.Port
	offline    bool
	pull       bool
	broken     map[string]string // errors by "image REF", "source NAME", "disk NAME", "output NAME"
	snapshots  map[string][]observed.Snapshot
	taskExit   int
	stable     bool              // a task leaves the same for the same inputs, as far as a bundle and its command go
	digests    map[string]string // of bundles that are made of outputs, in the apply at hand
	unneeded   int               // changes of the last apply
	manifest   *schema.Manifest
	room       int  // for disks of a guest that runs; 0: it takes none
	fixed      bool // those that it started with stay in it
	grows      int  // how often memory comes to one, whose CPUs change as well; 0: neither changes
	serial     int
}

func newSim(t testing.TB) *sim {
	return &sim{
		t: t, volumes: map[string]observed.Volume{}, workspaces: map[string]observed.Workspace{},
		bundles: map[string]observed.Bundle{}, sources: map[string]string{}, cache: map[string]bool{},
		snapshots: map[string][]observed.Snapshot{}, registry: map[string]string{}, store: map[string]bool{}, targets: map[string]string{},
		records: map[string]string{}, diskIDs: map[string]string{}, broken: map[string]string{},
		host: spec.Host{VMM: "qemu 7.2.22 (tcg)", Why: "the CPU offers no virtualisation", Kernel: "6.1.0", CPUs: 4, Memory: 8 << 30, DiskFree: 100 << 30},
	}
}

func digestOf(parts ...any) string {
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(fmt.Sprintln(parts...))))
}

func (s *sim) id(kind string) string {
	s.serial++
	return fmt.Sprintf("%s-%04d", kind, s.serial)
}

func (s *sim) write(kind, name string) { s.records[kind+"/"+name] = digestOf(s.id("record")) }

// observe is what refresh would hand to the planner for m.
func (s *sim) observe(m *schema.Manifest) *observed.World {
	s.manifest = m
	s.turnTo(m.Project)
	w := &observed.World{
		Volumes: maps.Clone(s.volumes), Snapshots: maps.Clone(s.snapshots), Workspaces: maps.Clone(s.workspaces), Bundles: maps.Clone(s.bundles),
		Sources: map[string]observed.Source{}, Images: map[string]observed.Image{}, Disks: map[string]observed.Disk{},
		Outputs: map[string]observed.Output{}, Project: s.project, Projects: maps.Clone(s.projects), Host: s.host, Servers: s.servers, Records: maps.Clone(s.records),
	}
	made := m.MadeOf()
	for name, b := range m.Bundles {
		digest := s.sources[name]
		if made[name] != "" {
			digest = s.bundleAt(b.Source)
			if digest == "" {
				w.Sources[name] = observed.Source{Err: "bundle " + name + ": " + b.Source + " does not exist"}
				continue
			}
		}
		if digest == "" {
			digest = digestOf("source", name)
		}
		w.Sources[name] = observed.Source{Digest: digest, Entries: 3, Bytes: 1000, Built: s.cache[digest], Err: s.broken["source "+name]}
	}
	w.VolumeImages = map[string]observed.VolumeImage{}
	for name := range m.Volumes {
		w.VolumeImages[name] = observed.VolumeImage{Err: s.broken["image-of "+name]}
	}
	for name, d := range m.Disks {
		id := s.diskIDs[name]
		if id == "" {
			id = "8:" + name
		}
		w.Disks[name] = observed.Disk{Path: "/home/me/" + d.Path, ID: id, Size: 1 << 30, Err: s.broken["disk "+name]}
	}
	for name, o := range m.Outputs {
		digest, ok := s.targets[o.To]
		w.Outputs[name] = observed.Output{Path: o.To, Exists: ok, Digest: digest, Err: s.broken["output "+name]}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Workspaces)) {
		ws := m.Workspaces[name]
		img := observed.Image{Ref: ws.Image, From: "registry", Size: 3 << 20, Err: s.broken["image "+ws.Image]}
		now := s.tag(ws.Image)
		if !s.offline {
			img.Digest = now
		}
		old, ok := observed.Workspace{}, false
		for _, disk := range plan.Formerly(m, plan.KindWorkspace, name) {
			if !ok {
				old, ok = s.workspaces[disk]
			}
		}
		if ok && old.Spec.Image == ws.Image && strings.HasPrefix(old.Spec.Name, old.Spec.Project+".") {
			if s.pull && old.Spec.ImageDigest != now {
				img.Moved = now
			}
			if !s.pull {
				img.Digest, img.From = old.Spec.ImageDigest, "record"
			}
		}
		img.InStore = s.store[img.Digest]
		if known, ok := w.Images[ws.Image]; !ok || known.From != "record" {
			w.Images[ws.Image] = img
		}
	}
	return w
}

// turnTo has the world seen by a plan of that project.
func (s *sim) turnTo(project string) {
	if s.named != "" && s.named != project {
		if s.projects == nil {
			s.projects = map[string]observed.Project{}
		}
		s.projects[s.named] = s.project
		s.project = s.projects[project]
		delete(s.projects, project)
	}
	s.named = project
}

// bundleAt is the digest of a bundle that is made of an output at path, "" when nothing is there.
func (s *sim) bundleAt(path string) string {
	if _, there := s.targets[path]; !there {
		return ""
	}
	return digestOf("bundle", s.targets[path])
}

func (s *sim) tag(ref string) string {
	if d, ok := s.registry[ref]; ok {
		return d
	}
	return digestOf("image", ref)
}
