package apply

import (
	"context"
	"fmt"
	"strings"

	"microagent/runtime/driver"
)

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
