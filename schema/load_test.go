package schema

import "testing"

const sketch = `# yaml-language-server: $schema=./microagent.schema.json
project: counter

volumes:
  data: {size: 512MiB}                 # kept for ever unless deleted by name
  shared: {external: true}

bundles:
  config: {source: ./config}

disks:
  models: {path: ./models.ext4}

workspaces:
  counter:
    image: docker.io/library/alpine:3.20
    cpus: 1
    memory: 256MiB
    disk: 1GiB
    env: {GREETING: hello}
    mounts:
      /work:   {volume: data}
      /config: {bundle: config}
      /models: {disk: models, readOnly: true}
    task: [sh, -c, "cat /config/hello.txt >> /work/log; wc -l < /work/log > /work/count"]

outputs:
  count: {from: counter, path: /work/count, to: ./out/count}
`

func TestLoadSketch(t *testing.T) {
	m, list := Load("microagent.yaml", []byte(sketch), Options{})
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	w := m.Workspaces["counter"]
	if m.Project != "counter" || m.Volumes["data"].Size.String() != "512 MiB" || w.CPUs != 1 ||
		w.Memory.Text() != "256MiB" || w.StopGrace.String() != "10s" || w.Desired != "running" ||
		w.Mounts["/config"].Bundle != "config" || !w.Mounts["/config"].ReadOnly || len(w.Task) != 3 {
		t.Fatalf("%+v", m)
	}
}
