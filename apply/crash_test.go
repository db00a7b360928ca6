package apply

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"microagent/apply/refresh"
	"microagent/plan"
	"microagent/runtime/driver"
	"microagent/runtime/event"
	"microagent/schema/spec"
)

// errKilled is what every driver says once the process that calls it is dead.
var errKilled = errors.New("killed")

// life is that of the process that applies: it ends before its next effect on the world once it has had so many.
type life struct {
	mu      sync.Mutex
	effects int // left; less than none: it lives on
	dead    bool
}

func (l *life) spend() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.effects == 0 {
		l.dead = true
	}
	if l.dead {
		return errKilled
	}
	l.effects--
	return nil
}

// mortalImages and those after it are drivers that work while the process lives.
type mortalImages struct {
	driver.Images
	*life
}

func (m mortalImages) Pull(ctx context.Context, src driver.ImageSource, want string, p driver.Progress) (driver.Image, error) {
	if err := m.spend(); err != nil {
		return driver.Image{}, err
	}
	return m.Images.Pull(ctx, src, want, p)
}

type mortalDisks struct {
	driver.Disks
	*life
}

func (m mortalDisks) Bundle(ctx context.Context, src driver.BundleSource, want string, p driver.Progress) (driver.DiskImage, driver.BundleDigest, error) {
	if err := m.spend(); err != nil {
		return driver.DiskImage{}, driver.BundleDigest{}, err
	}
	return m.Disks.Bundle(ctx, src, want, p)
}

type mortalOutputs struct {
	driver.Outputs
	*life
}

func (m mortalOutputs) Publish(ctx context.Context, tree io.Reader, t driver.Target, how driver.Publishing) (driver.Fetched, error) {
	if err := m.spend(); err != nil {
		return driver.Fetched{}, err
	}
	return m.Outputs.Publish(ctx, tree, t, how)
}

type mortalProjects struct {
	driver.Projects
	*life
}

func (m mortalProjects) Put(ctx context.Context, p driver.Project) error {
	if err := m.spend(); err != nil {
		return err
	}
	return m.Projects.Put(ctx, p)
}

func (m mortalProjects) PutBundle(ctx context.Context, b driver.BundleRecord) error {
	if err := m.spend(); err != nil {
		return err
	}
	return m.Projects.PutBundle(ctx, b)
}

func (m mortalProjects) DeleteBundle(ctx context.Context, name string) error {
	if err := m.spend(); err != nil {
		return err
	}
	return m.Projects.DeleteBundle(ctx, name)
}

func (m mortalProjects) Move(ctx context.Context, from, to string) error {
	if err := m.spend(); err != nil {
		return err
	}
	return m.Projects.Move(ctx, from, to)
}

// live makes b's drivers end with l; nil never does.
func (b *bench) live(l *life) driver.Set {
	b.workspaces.Fail, b.volumes.Fail = nil, nil
	d := b.drivers
	if l == nil {
		return d
	}
	fail := func(string, string) error { return l.spend() }
	b.workspaces.Fail, b.volumes.Fail = fail, fail
	d.Images, d.Disks, d.Outputs, d.Projects = mortalImages{d.Images, l}, mortalDisks{d.Disks, l}, mortalOutputs{d.Outputs, l}, mortalProjects{d.Projects, l}
	return d
}

// scene is an apply of one manifest, or a destroy of what was applied, in the world that the scenes before it left.
type scene struct {
	manifest string
	destroy  bool
	before   func(b *bench) // happens to the world first
	rerun    []string
	// moved are workspaces and volumes that are the same afterwards, by the names that they had; no task of these runs.
	moved map[string]string
	lossy []string // what --allow-data-loss names
}

// stories are what happens to one world each. Together they have a case of every operation.
var stories = map[string][]scene{
	"from nothing, through changes, to the end": {
		{manifest: `project: demo
volumes: {data: {size: 64MiB}, old: {size: 64MiB}}
bundles: {config: {source: ./config}, gone: {source: ./gone}}
workspaces:
  job: {image: example.org/base:1, mounts: {/work: {volume: data}, /c: {bundle: config}}, task: [sh, -c, "echo 1 > /out"]}
  web: {image: example.org/base:1, mounts: {/g: {bundle: gone}}, service: [sh, -c, "sleep 1000"], ready: {port: 80}}
  idle: {image: example.org/base:1, mounts: {/old: {volume: old}}}
  late: {image: example.org/base:1, after: {web: ready, job: completed}, task: [sh, -c, "exit 0"]}
outputs: {out: {from: job, path: /out, to: ./out/out}}
`, before: func(b *bench) { b.write("gone", "soon") }},
		{manifest: `project: demo
volumes: {data: {size: 128MiB}, new: {size: 64MiB, protected: true}}
moved: [{volume: old, to: new}]
bundles: {config: {source: ./config2}}
workspaces:
  job: {image: example.org/base:1, disk: 512MiB, mounts: {/work: {volume: data}, /c: {bundle: config}}, task: [sh, -c, "echo 2 > /out"]}
  web: {image: example.org/base:1, env: {A: b}, service: [sh, -c, "sleep 1000"], ready: {port: 80}}
  idle: {image: example.org/base:1, stopGrace: 5s, mounts: {/old: {volume: new}}}
  late: {image: example.org/base:1, after: {web: ready}, task: [sh, -c, "exit 0"]}
outputs: {out: {from: job, path: /out, to: ./out/out}}
`, before: func(b *bench) { b.write("config2", "hello") }, rerun: []string{"late"}},
		{manifest: `project: demo
volumes: {data: {size: 128MiB}, new: {size: 64MiB, protected: false}}
bundles: {config: {source: ./config2}}
workspaces:
  job: {image: example.org/base:1, disk: 512MiB, mounts: {/work: {volume: data}, /c: {bundle: config}}, task: [sh, -c, "echo 2 > /out"]}
  web: {image: example.org/base:1, env: {A: b}, desired: stopped, service: [sh, -c, "sleep 1000"], ready: {port: 80}}
  idle: {image: example.org/base:1, stopGrace: 5s, mounts: {/old: {volume: new}}}
outputs: {out: {from: job, path: /out, to: ./out/out}}
`, before: func(b *bench) {
			record, err := b.drivers.Projects.Get(b.t.Context(), "demo")
			b.must(err)
			record.Manifest = "/nowhere/microagent.yaml"
			b.must(b.drivers.Projects.Put(b.t.Context(), record))
			_, err = b.workspaces.Stop(b.t.Context(), "demo.idle", driver.StopOptions{})
			b.must(err)
			job, err := b.workspaces.Get(b.t.Context(), "demo.job")
			b.must(err)
			b.workspaces.Hold("demo.job")
			_, err = b.workspaces.Start(b.t.Context(), "demo.job", driver.StartOptions{RunKey: job.Run.Key})
			b.must(err)
		}},
		{destroy: true},
	},
	"turns with a volume": {
		{manifest: turns},
		{manifest: turns, rerun: []string{"write"}},
		{manifest: strings.Replace(turns, "echo 1", "echo 2", 1)},
		{destroy: true},
	},
	"what is made of an output": {
		{manifest: chain},
		{manifest: chain, rerun: []string{"build"}},
		{manifest: strings.Replace(chain, "echo app", "echo another", 1)},
		{destroy: true},
	},
	// A scene of one change has a kill of it whatever runs at once; those of many changes may miss one.
	"one change after another": {
		{manifest: alone("volumes: {data: {size: 64MiB}}", "service: [sh, -c, sleep 1]")},
		{manifest: alone("volumes: {data: {size: 64MiB}}", "disk: 512MiB, service: [sh, -c, sleep 1]")},
		{manifest: alone("volumes: {data: {size: 64MiB}}", "disk: 512MiB, memory: 1GiB, service: [sh, -c, sleep 1]")},
		{manifest: alone("volumes: {data: {size: 64MiB}}", "disk: 512MiB, memory: 1GiB, desired: stopped, service: [sh, -c, sleep 1]")},
		{manifest: alone("volumes: {data: {size: 128MiB, protected: true}}", "disk: 512MiB, memory: 1GiB, desired: stopped, service: [sh, -c, sleep 1]")},
		{manifest: alone("volumes: {new: {size: 128MiB, protected: false}}\nmoved: [{volume: data, to: new}]", "disk: 512MiB, memory: 1GiB, desired: stopped, service: [sh, -c, sleep 1]")},
		{manifest: alone("", "disk: 512MiB, memory: 1GiB, desired: stopped, stopGrace: 5s, service: [sh, -c, sleep 1]")},
		{manifest: alone("", "disk: 512MiB, memory: 1GiB, stopGrace: 5s, service: [sh, -c, sleep 1]")},
		{destroy: true},
	},
	"a guest that changes while it runs": {
		{manifest: alone("", "disk: 512MiB, env: {A: b}")},
		{manifest: alone("", "disk: 1GiB, env: {A: c, B: d}, ports: {http: {guest: 80, host: auto}}")},
		{manifest: alone("", "disk: 1GiB")},
		{destroy: true},
	},
	"CPUs and memory that change while a guest runs": {
		{manifest: alone("", "cpus: 1, maxCpus: 4, memory: 256MiB, maxMemory: 1GiB, service: [sh, -c, sleep 1000]")},
		{manifest: alone("", "cpus: 3, maxCpus: 4, memory: 512MiB, maxMemory: 1GiB, service: [sh, -c, sleep 1000]")},
		{manifest: alone("", "cpus: 2, maxCpus: 4, memory: 512MiB, maxMemory: 1GiB, service: [sh, -c, sleep 1000]")},
		{manifest: alone("", "cpus: 4, maxCpus: 4, memory: 1GiB, maxMemory: 1GiB, disk: 2GiB, service: [sh, -c, sleep 1000]")},
		{destroy: true},
	},
	"mounts that change while guests run": {
		{manifest: two("a, b", "/a: {volume: a}", "")},
		{manifest: two("a, b, c", "/b: {volume: b}, /c: {volume: c}", "/a: {volume: a}")},
		{manifest: two("a, b, c", "/c: {volume: c, readOnly: true}", "/a: {volume: a}, /b: {volume: b}")},
		{manifest: two("a, b, c", "", "/b: {volume: b}, /c: {volume: c}")},
		{destroy: true},
	},
	"snapshots before what is done": {
		{manifest: alone("volumes: {data: {size: 64MiB, snapshot: {before: apply, keep: 1}}}", "mounts: {/d: {volume: data}}, service: [sh, -c, sleep 1]")},
		{manifest: alone("volumes: {data: {size: 64MiB, snapshot: {before: apply, keep: 1}}, copy: {size: 64MiB, from: {volume: ext}}, ext: {external: true}}",
			"mounts: {/d: {volume: data}}, memory: 1GiB, service: [sh, -c, sleep 1]"), before: func(b *bench) {
			_, _, err := b.volumes.Create(b.t.Context(), driver.VolumeSpec{Name: "ext", Size: 64 << 20})
			b.must(err)
		}},
		{manifest: alone("volumes: {data: {size: 64MiB, snapshot: {before: replace, keep: 1}}, copy: {size: 64MiB}}",
			"mounts: {/d: {volume: data}}, memory: 1GiB, disk: 512MiB, service: [sh, -c, sleep 1]")},
		{destroy: true},
	},
	"volumes that begin with a file, and with a bundle": {
		{manifest: `project: demo
volumes: {seed: {size: 64MiB, from: {image: ./seed.img}}, tree: {size: 64MiB, from: {bundle: config}}}
bundles: {config: {source: ./config}}
`, before: func(b *bench) { b.write("seed.img", "an image") }},
		{destroy: true},
	},
	"a workspace with another name": {
		{manifest: alone("", "service: [sh, -c, sleep 1]")},
		{manifest: strings.Replace(alone("moved: [{workspace: web, to: server}]", "service: [sh, -c, sleep 1]"), "{web:", "{server:", 1),
			moved: map[string]string{"demo.web": "demo.server"}},
		{manifest: alone("moved: [{workspace: server, to: web}]", "desired: stopped, service: [sh, -c, sleep 1]"),
			moved: map[string]string{"demo.server": "demo.web"}},
		{manifest: strings.Replace(alone("moved: [{workspace: web, to: server}]", "desired: stopped, service: [sh, -c, sleep 1]"), "{web:", "{server:", 1),
			moved: map[string]string{"demo.web": "demo.server"}},
		{destroy: true},
	},
	"a bundle's record with another name": {
		{manifest: "project: demo\nbundles: {config: {source: ./config}}\n"},
		{manifest: "project: shop\nbundles: {config: {source: ./config}}\nmoved: [{project: demo, to: shop}]\n"},
	},
	"a project with another name": {
		{manifest: project("demo", "data", "job")},
		{manifest: project("shop", "data", "job") + "moved: [{project: demo, to: shop}]\n",
			moved: map[string]string{"demo.job": "shop.job", "demo.web": "shop.web", "demo.data": "shop.data"}},
		{manifest: project("store", "stuff", "count") + "moved: [{project: shop, to: store}, {volume: data, to: stuff}, {workspace: job, to: count}]\n",
			moved: map[string]string{"shop.job": "store.count", "shop.web": "store.web", "shop.data": "store.stuff"}},
		{manifest: "project: bare\nmoved: [{project: store, to: bare}]\nvolumes: {stuff: {size: 64MiB}}\n", moved: map[string]string{"store.stuff": "bare.stuff"}},
	},
	"a volume that is given up": {
		{manifest: alone("volumes: {data: {size: 128MiB}}", "mounts: {/d: {volume: data}}, service: [sh, -c, sleep 1]")},
		{manifest: alone("volumes: {data: {size: 64MiB, protected: true}}", "mounts: {/d: {volume: data}}, service: [sh, -c, sleep 1]"), lossy: []string{"volume/data"}},
	},
	"a start under way": {
		{manifest: `project: demo
workspaces:
  web: {image: example.org/base:1, service: [sh, -c, "sleep 1000"]}
`},
		{manifest: `project: demo
workspaces:
  web: {image: example.org/base:1, service: [sh, -c, "sleep 1000"]}
`, before: func(b *bench) { b.drivers.Workspaces = starting{b.drivers.Workspaces} }},
	},
}

// alone is the manifest of one workspace beside what declared says.
func alone(declared, web string) string {
	return fmt.Sprintf("project: demo\n%s\nworkspaces: {web: {image: example.org/base:1, %s}}\n", declared, web)
}

// two is a manifest of volumes and of two workspaces with mounts, of which the second may take what the first gives up.
func two(volumes, first, second string) string {
	m := "project: demo\nvolumes: {" + strings.ReplaceAll(volumes, ", ", ": {size: 64MiB}, ") + ": {size: 64MiB}}\nworkspaces:\n"
	return m + "  one: {image: example.org/base:1, mounts: {" + first + "}}\n  web: {image: example.org/base:1, mounts: {" + second + "}, service: [sh, -c, sleep 1000]}\n"
}

// project is a manifest of a project, with the names of a volume and of a task in it.
func project(name, data, job string) string {
	return fmt.Sprintf(`project: %s
volumes: {%s: {size: 64MiB}}
bundles: {config: {source: ./config}}
workspaces:
  %s: {image: example.org/base:1, mounts: {/c: {bundle: config}}, task: [sh, -c, "echo 1 > /out"]}
  web: {image: example.org/base:1, mounts: {/work: {volume: %s}}, service: [sh, -c, "sleep 1000"]}
outputs: {out: {from: %s, path: /out, to: ./out/out}}
`, name, data, job, data, job)
}

const turns = `project: demo
volumes: {work: {size: 64MiB}}
workspaces:
  write: {image: example.org/base:1, mounts: {/work: {volume: work}}, task: [sh, -c, "echo 1 > /x"]}
  read: {image: example.org/base:1, after: {write: completed}, mounts: {/work: {volume: work, readOnly: true}}, task: [sh, -c, "exit 0"]}
  serve: {image: example.org/base:1, after: {read: completed}, mounts: {/work: {volume: work}}, service: [sh, -c, "sleep 1000"]}
`

// starting has a workspace that runs look as if it were on its way still.
type starting struct{ driver.Records }

func (s starting) List(ctx context.Context) ([]driver.Workspace, error) {
	list, err := s.Records.List(ctx)
	for i := range list {
		if r := list[i].Run; r != nil && r.Phase == driver.PhaseRunning {
			now := *r
			now.Phase = driver.PhaseStarting
			list[i].Run = &now
		}
	}
	return list, err
}

func (b *bench) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// finisher ends each task that an apply waits for and did not start.
type finisher struct{ b *bench }

func (f finisher) Emit(e event.Event) {
	if name, task := strings.CutPrefix(e.Address, "task/"); task && e.Type == event.TypeStart && e.Action == string(plan.ActionWait) {
		f.b.workspaces.Finish("demo."+name, 0)
	}
}

// play plans a scene and applies it as long as l lasts.
func (b *bench) play(s *scene, l *life) *Result {
	b.t.Helper()
	var p *plan.Plan
	if s.destroy {
		w, err := refresh.Project(b.t.Context(), b.drivers, "demo", refresh.Options{})
		b.must(err)
		made, problems := plan.Destroy("demo", w, plan.Options{Tool: "test"})
		b.must(problems.Err())
		p = made
	} else {
		b.write("microagent.yaml", s.manifest)
		b.lossy = s.lossy
		p = b.planWith(s.rerun)
	}
	b.t.Logf("%v", does(p))
	d := b.live(l)
	res, err := Run(b.t.Context(), d, p, b.files, Options{Parallel: 4, Events: finisher{b}})
	b.live(nil)
	if err != nil && !errors.Is(err, errKilled) {
		b.t.Fatal(err)
	}
	if res == nil {
		res = &Result{}
	}
	return res
}

// TestEveryKillConverges kills the process that applies before each of its effects on the world, in every scene of every
// story: the next apply does the rest, and then there is nothing left to do. Each operation there is has to be killed.
func TestEveryKillConverges(t *testing.T) {
	killed := map[string]int{}
	for name, story := range stories {
		for i := range story {
			for effects := 0; ; effects++ {
				l := &life{effects: effects}
				synctest.Test(t, func(t *testing.T) {
					t.Logf("%s, scene %d, killed after %d effects", name, i, effects)
					b := newChain(t, "project: demo\n")
					for j := range i {
						b.settle(&story[j], nil)
					}
					res := b.settle(&story[i], l)
					for _, f := range res.Failed {
						if !errors.Is(f.Err, errKilled) {
							t.Errorf("%s, scene %d, after %d effects: %v", name, i, effects, f.Err)
						}
						killed[string(f.Action)+" "+string(f.Address.Kind)]++
					}
				})
				if t.Failed() {
					t.Fatalf("%s, scene %d, killed after %d effects", name, i, effects)
				}
				if !l.dead {
					break
				}
			}
		}
	}
	for kind, actions := range plan.Operations {
		for _, action := range actions {
			does := (&plan.Change{Action: action}).Does()
			if of := string(action) + " " + string(kind); does && killed[of] == 0 {
				t.Errorf("no story has a %q that is killed", of)
			}
		}
	}
	t.Logf("killed: %v", killed)
}

// settle plays a scene with l, and then to its end.
func (b *bench) settle(s *scene, l *life) *Result {
	b.t.Helper()
	whole := b.drivers
	if s.before != nil {
		s.before(b)
	}
	same := b.ids(slices.Collect(maps.Keys(s.moved)))
	first := b.play(s, l)
	b.t.Logf("done %v failed %v", first.Done, first.Failed)
	b.drivers = whole
	rest := *s
	rest.rerun = nil
	if l != nil && l.dead {
		if res := b.play(&rest, nil); res.Err() != nil || len(res.NotStarted) > 0 {
			b.t.Errorf("the next apply: %v, not started: %v", res.Err(), res.NotStarted)
		}
	} else if first.Err() != nil || len(first.NotStarted) > 0 {
		b.t.Errorf("apply: %v, not started: %v", first.Err(), first.NotStarted)
	}
	if s.destroy {
		if list, err := b.workspaces.List(b.t.Context()); err != nil || len(list) > 0 {
			b.t.Errorf("workspaces are left: %v, %v", list, err)
		}
		return first
	}
	if p := b.planWith(nil); !p.Empty() {
		b.t.Errorf("a further apply would do %v", does(p))
	}
	b.checkTurns()
	for was, id := range same {
		if now := b.ids([]string{s.moved[was]})[s.moved[was]]; now != id {
			b.t.Errorf("%s became %s: %q, and it was %q", was, s.moved[was], now, id)
		}
	}
	return first
}

// ids tell of workspaces and volumes what makes them the same, and of tasks their newest run.
func (b *bench) ids(names []string) map[string]string {
	b.t.Helper()
	list := map[string]string{}
	for _, name := range names {
		if v, err := b.volumes.Get(b.t.Context(), name); err == nil {
			list[name] = v.ID
			continue
		}
		ws, err := b.workspaces.Get(b.t.Context(), name)
		b.must(err)
		list[name] = ws.ID
		if ws.Run != nil && ws.Spec.Process.Mode == spec.ModeTask {
			list[name] += " " + ws.Run.ID
		}
	}
	return list
}

// checkTurns sees that whatever comes after a task's end, and uses a volume that it writes, has run since.
func (b *bench) checkTurns() {
	b.t.Helper()
	list, err := b.workspaces.List(b.t.Context())
	b.must(err)
	number, writes := map[string]int{}, map[string]string{}
	for _, ws := range list {
		if ws.Run != nil {
			var n int
			_, err := fmt.Sscanf(ws.Run.ID, "run-%d", &n)
			b.must(err)
			number[ws.Spec.Name] = n
		}
		for _, m := range ws.Spec.Mounts {
			if m.Kind == driver.MountVolume && !m.ReadOnly {
				writes[ws.Spec.Name] = m.Name
			}
		}
	}
	for _, ws := range list {
		form, err := refresh.Applied(ws.Spec)
		b.must(err)
		for _, a := range form.After {
			first := "demo." + a.Workspace
			if slices.ContainsFunc(ws.Spec.Mounts, func(m driver.Mount) bool { return m.Kind == driver.MountVolume && m.Name == writes[first] }) &&
				number[ws.Spec.Name] < number[first] {
				b.t.Errorf("%s ran before %s, whose volume it reads", ws.Spec.Name, first)
			}
		}
	}
}
