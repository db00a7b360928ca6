package cli

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"microagent/cmd/microagent/cli/term"
	"microagent/runtime/driver"
)

var update = flag.Bool("update", false, "write the goldens of --json anew")

// withoutJSON are the commands that give programs what they always give, and why.
var withoutJSON = map[string]string{
	"microagent completion": "a script for a shell",
	"microagent graph":      "a graph, in the language of --format",
	"microagent help":       "text",
	"microagent storage":    "text",
}

const goldenManifest = `project: shop
volumes: {data: {size: 16MiB}}
workspaces:
  job:
    image: docker.io/library/alpine:3.20
    env: {TOKEN: canary}
    mounts: {/work: {volume: data}}
    task: [sh, -c, "echo hello; echo oops >&2; echo 42 > /work/count; exit 3"]
  web:
    image: docker.io/library/alpine:3.20
    service: [sh, -c, "echo up; sleep 1000"]
outputs: {count: {from: job, path: /work/count, to: ./out/count}}
`

// goldenCommands are run one after the other in one world; each --json has a case with something in it and, where it can
// be, one with nothing.
var goldenCommands = []string{
	"status", "list", "volume list", "image list", "kernel list", "output list", "history", "events",
	"validate", "render", "plan -o saved.plan", "show saved.plan", "show none.plan", "apply --yes --parallel 1", "apply --yes --parallel 1", "plan", "status", "status job", "list", "logs job", "stats --interval 1ms", "wait job", "output list",
	"history", "events",
	"schema", "version", "doctor",
	"image pull docker.io/library/alpine:3.20", "image list",
	"volume create extra --size 16MiB", "volume create extra --size 16MiB", "volume list", "volume status extra", "volume grow extra --size 32MiB",
	"volume protect extra", "volume unprotect extra", "volume adopt extra", "volume clone extra copy", "volume clone extra copy", "volume delete copy",
	"volume snapshots", "volume snapshot extra:one", "volume snapshot extra:one", "volume snapshots extra", "volume restore extra:one", "volume restore extra:none", "volume clone extra:one copy", "volume delete copy", "volume delete extra:one", "volume delete extra:none", "volume export extra extra.zst", "volume export extra extra.zst", "volume export extra -", "volume import again extra.zst", "volume import again extra.zst", "volume delete again", "volume usage extra", "volume usage none", "volume trim extra", "volume check extra", "volume check none", "cp volume:extra:/x ./got", "cp ./microagent.yaml volume:extra:/x", "volume delete extra",
	"create one --image docker.io/library/alpine:3.20 -p auto:8080 -p unix:/run/web.sock:8080", "forward one 9090", "start one", "stats --interval 1ms", "stats one nosuch", "forward one 9090:80", "exec one -- sh -c exit",
	"list --jobs", "exec -d -u 1000 -w /tmp --timeout 1m --output a=/a one -- sh -c exit", "wait --job job001 one", "exec -d one -- sleep 9", "halt --job job002 one", "list --jobs", "logs --job job001 one", "logs --job nosuch one", "exec --if-run x one -- true",
	"create net --image docker.io/library/alpine:3.20 --allow-net 203.0.113.5:22 --allow-net host:8080", "network explain net 203.0.113.5:22", "network explain net evil.example",
	"network explain one evil.example", "network suggest net", "network suggest one", "logs --network net", "start net", "status net", "halt net", "delete net --yes",
	"cp microagent.yaml one:/x", "cp one:/x ./got",
	"halt one", "halt one", "restart one", "reset one --yes", "halt one none", "delete one --yes", "run docker.io/library/alpine:3.20 true",
	"output get job count", "output get job none", "kernel install --vmlinuz none --modules none", "kernel rm none",
	"list --kept", "restore one", "prune", "image import none.tar", "image rm docker.io/library/alpine:3.20", "destroy --yes --parallel 1", "destroy --yes", "plan -o refused.plan --rerun nobody", "show refused.plan", "apply refused.plan", "apply --yes --rerun nobody", "nonsense", "plan --file other.yaml",
}

// TestJSONIsPromised compares what every command gives programs with what it gave before. A difference is a promise broken,
// unless it only adds.
func TestJSONIsPromised(t *testing.T) {
	golden, err := filepath.Abs("testdata/json.golden")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.hosts.Findings = []driver.Finding{{Code: "no_kvm", Severity: "note", Message: "there is no /dev/kvm", Next: "run on a host with KVM"}}
	b.workspaces.Denied = map[string][]driver.Denial{"net": {{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Stage: "dns", Names: []string{"evil.example"}, Rule: "default",
		Reason: "no allow rule names evil.example", Count: 1}}}
	if err := os.WriteFile("microagent.yaml", []byte(goldenManifest), 0o644); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, line := range goldenCommands {
		s := b.run(append([]string{"--json"}, strings.Fields(line)...)...)
		fmt.Fprintf(&got, "$ microagent --json %s\n%s%sexit %d\n\n", line, steady(b, s.out), steady(b, s.stderr), s.code)
		for _, text := range []string{s.out, s.stderr} {
			if line != "render" && strings.Contains(text, "canary") {
				t.Errorf("%s shows the value of an environment variable:\n%s", line, text)
			}
			holdJSON(t, line, text)
		}
	}
	holdGolden(t, golden, got.String(), *update, "-run TestJSONIsPromised -update")
}

// holdGolden compares what was said with a file, or writes that anew.
func holdGolden(t *testing.T, file, got string, write bool, anew string) {
	t.Helper()
	if write {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("it says something else; after a look, go test ./cmd/microagent/cli %s\n%s", anew, firstDifference(got, string(want)))
	}
}

// TestEveryCommandHasItsJSON: a command without a case would give programs what nobody looks at.
func TestEveryCommandHasItsJSON(t *testing.T) {
	root := (&app{Screen: &term.Screen{Getenv: func(string) string { return "" }}}).root()
	run := map[string]bool{}
	for _, line := range goldenCommands {
		cmd, _, err := root.Find(strings.Fields(line))
		if err == nil {
			run[cmd.CommandPath()] = true
		}
	}
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		path := cmd.CommandPath()
		if cmd.Runnable() && !cmd.Hidden && cmd.HasParent() && len(cmd.Commands()) == 0 && !run[path] && withoutJSON[path] == "" {
			t.Errorf("%s is in none of goldenCommands", path)
		}
		for _, c := range cmd.Commands() {
			visit(c)
		}
	}
	visit(root)
}

// holdJSON: what is written with --json is JSON, but for what guests wrote themselves.
func holdJSON(t *testing.T, line, text string) {
	t.Helper()
	if strings.HasPrefix(line, "exec ") || strings.HasPrefix(line, "run ") {
		return
	}
	for dec := json.NewDecoder(strings.NewReader(text)); dec.More(); {
		var v any
		if err := dec.Decode(&v); err != nil {
			t.Errorf("%s: %v in\n%s", line, err, text)
			return
		}
	}
}

var changing = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`), "TIME"},
	{regexp.MustCompile(`"(elapsed_)?seconds": ?[0-9.]+`), `"${1}seconds":SECONDS`},
	{regexp.MustCompile(`,"elapsed_seconds":SECONDS`), ""}, // absent when it rounds to nothing
	{regexp.MustCompile(`sha256:[0-9a-f]{64}`), "DIGEST"},
	{regexp.MustCompile(`\b[0-9a-f]{64}\b`), "DIGEST"},
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "ID"},
	{regexp.MustCompile(`run-[a-z0-9]{4,}`), "run-NAME"},
	{regexp.MustCompile(`"(go|platform|revision)": "[^"]*"`), `"$1": "BUILD"`},
}

// steady takes out what differs from run to run. A schema is only said to be one.
func steady(b *bench, text string) string {
	if strings.Contains(text, "json-schema.org") {
		return "(a JSON Schema)\n"
	}
	dir, _ := os.Getwd()
	text = strings.ReplaceAll(strings.ReplaceAll(text, dir, "DIR"), b.world.state.Dir, "STATE")
	for _, c := range changing {
		text = c.what.ReplaceAllString(text, c.by)
	}
	return text
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\n got  %s\n want %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}
