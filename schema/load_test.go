package schema

import (
	"fmt"
	"strings"
	"testing"
)

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

// Long maps and lists are checked in portions, and each problem in them is reported once, at its own place.
func TestLoadLongContainers(t *testing.T) {
	const n = 3*most + 7
	manifest := "project: p\nworkspaces:\n  w:\n    image: x\n    env:\n" + repeat(n, "      V%d: \"\\0\"\n      G%[1]d: fine\n") +
		"    task:\n" + repeat(n, "      - \"%d\\0\"\n      - fine\n") + "    cpus: 0\n"
	_, list := Load("microagent.yaml", []byte(manifest), Options{})
	all := list.All()
	if len(all) != 2*n+1 {
		t.Errorf("%d diagnostics for %d problems", len(all), 2*n+1)
	}
	for _, d := range all {
		line := "" // a value of env is never shown
		switch {
		case strings.Contains(d.Summary, ".task."):
			line = "      - \""
		case strings.Contains(d.Summary, ".cpus"):
			line = "    cpus"
		}
		if d.Code != "bad_value" || !strings.HasPrefix(d.Snippet, line) || line == "" && d.Snippet+d.Detail != "" {
			t.Fatalf("%+v", d)
		}
	}
	if last := all[len(all)-2]; !strings.Contains(last.Summary, fmt.Sprintf(".task.%d ", 2*n-2)) {
		t.Errorf("the last item is called %s", last.Summary)
	}
}
