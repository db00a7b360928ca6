package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
)

// updateWords is apart from update: a word for people may change, a shape for programs may not.
var updateWords = flag.Bool("update-words", false, "write the golden of what people read anew")

// wordsOfLine takes a command line apart: words, and phrases in single quotes.
var wordsOfLine = regexp.MustCompile(`'[^']*'|\S+`)

func argumentsOf(line string) (args []string) {
	for _, w := range wordsOfLine.FindAllString(line, -1) {
		args = append(args, strings.Trim(w, "'"))
	}
	return args
}

// spokenCommands are run one after the other in one world. A line that begins with # says what the next ones show.
var spokenCommands = []string{
	"# nothing is there", "status", "list", "volume list", "image list", "kernel list", "output list", "history", "events",
	"# a manifest", "validate", "render", "graph", "graph --format mermaid", "graph --format svg", "plan", "plan --detailed-exitcode", "plan -o saved.plan", "show saved.plan", "apply saved.plan --project shop", "apply saved.plan --parallel 1", "apply saved.plan",
	"apply nosuch.plan", "apply --parallel 1", "apply --yes --parallel 1 --verbose", "status", "status job", "status web", "status nosuch", "list",
	"logs job", "logs web --tail 1", "logs job --stderr", "logs job --stdout --console", "wait job", "output list", "output list job", "output get job count", "output get job count -", "output get job count there/",
	"output get job nosuch", "history", "events",
	"# by hand", "image pull docker.io/library/alpine:3.20", "image list",
	"volume create data2 --size 16MiB", "volume create data2 --size 16MiB", "volume create bad/name", "volume status data2", "volume grow data2 --size 32MiB", "volume grow data2 --size 8MiB",
	"volume protect data2", "volume status data2", "volume list", "volume delete data2", "volume unprotect data2", "volume list", "volume adopt data2",
	"volume clone data2 copy", "volume clone data2 copy", "volume clone nosuch copy", "volume clone data2 a/b", "volume delete copy",
	"volume snapshots", "volume snapshot data2:one", "volume snapshot data2:one", "volume snapshot data2", "volume snapshots", "volume snapshots data2", "volume snapshots nosuch", "volume restore data2:one", "volume restore data2:none", "volume restore data2", "volume clone data2:one copy", "volume delete copy", "volume delete data2:one", "volume delete data2:none", "volume delete data2:before-one",
	"volume export data2 data2.zst", "volume export data2 data2.zst", "volume export data2 - --format zip", "volume export nosuch x", "volume import again data2.zst", "volume import again data2.zst", "volume import again nosuch", "volume import again data2.zst --size 1", "volume delete again", "volume usage data2", "volume usage nosuch", "volume trim data2", "volume check data2", "cp volume:data2:/x ./got", "cp microagent.yaml volume:data2:/x", "cp volume:nosuch:/x ./got", "cp --if-run run-1 volume:data2:/x ./got", "create volume --image docker.io/library/alpine:3.20",
	"create one --image docker.io/library/alpine:3.20 -v data2:/work -v new:/new:size=16MiB --disk d=disk.ext4:/d --bundle b=b.tar:/b --env-file env -e A=1 --hostname box --cpus 2 -p auto:80",
	"status one", "start one", "start one", "exec one -- sh -c 'echo hello; exit 4'", "exec -e B=2 one -- sh -c 'echo x >&2'", "exec nosuch -- true", "list", "volume list", "list --project shop", "volume list --project shop", "list --project other", "output list --project other", "volume status data2",
	"# jobs",
	"list --jobs", "exec -d --output a=/a:./job/a one -- sh -c 'echo 42 > /a; echo hello; exit 3'", "list --jobs", "wait --job job001 one", "wait --job job one", "exec -d one -- sh -c 'sleep 9'", "wait --job job one", "wait --timeout 10ms --job job002 one", "halt --job job002 one", "halt --job job002 one",
	"logs --job job001 one", "logs --job nosuch one", "logs --job job001 --console one", "output get --job job001 one a -", "output get --job job001 one b", "exec -d -it one -- sh", "exec --output a=/a one -- true", "exec -d --output a=/a --output a=/b one -- true", "exec -d --output a=/a:./x --output b=/b:./x one -- true",
	"exec -d --output a=/a:./microagent.yaml one -- true", "exec -d --output a=/a:./.git/a one -- true", "exec --if-run run-1 one -- true", "cp --if-run run-1 microagent.yaml one:/x",
	"cp microagent.yaml one:/x", "cp one:/x ./got", "cp one:/x one:/y", "cp ./a ./b", "volume delete data2", "volume delete --force data2", "halt one", "halt one", "halt --force one", "exec one true",
	"delete one", "delete one --yes", "delete one --yes", "prune", "prune --yes",
	"# run", "run docker.io/library/alpine:3.20 sh -c 'echo hello; exit 3'", "run --keep --timeout 1m docker.io/library/alpine:3.20 true", "run docker.io/library/alpine:3.20",
	"run --image docker.io/library/alpine:3.20 --exec 'echo 42 > /c' --output c=/c:./c", "run --image docker.io/library/alpine:3.20 --exec 'exit 0' --output none=/none:./none", "run --image docker.io/library/alpine:3.20 --exec 'exit 3' --output none=/none:./none", "run --output c=/c:./c docker.io/library/alpine:3.20 true",
	"run --output c docker.io/library/alpine:3.20", "run --overwrite-outputs --output a=/c:./x --output b=/c:./x docker.io/library/alpine:3.20", "run --overwrite-outputs --output a=/c:./microagent.yaml docker.io/library/alpine:3.20",
	"run -t docker.io/library/alpine:3.20 sh", "run --entrypoint /bin/echo docker.io/library/alpine:3.20 hi", "run -v .:/x docker.io/library/alpine:3.20", "run --exec true docker.io/library/alpine:3.20 true",
	"run -v data2 docker.io/library/alpine:3.20", "run --bundle b.tar:/x docker.io/library/alpine:3.20", "run --disk d=.:/d docker.io/library/alpine:3.20", "run --cpus 0 docker.io/library/alpine:3.20",
	"run --memory lots docker.io/library/alpine:3.20", "run --isolation some docker.io/library/alpine:3.20", "run -v x:/a -v y:/a docker.io/library/alpine:3.20", "run --env-file nosuch docker.io/library/alpine:3.20",
	"# the host", "doctor", "version", "storage", "completion bash --help", "kernel rm none", "kernel install --vmlinuz none", "forward one 80", "image rm docker.io/library/alpine:3.20", "image rm nosuch", "image import none.tar",
	"destroy", "destroy --yes --parallel 1", "destroy --yes", "plan -o refused.plan --rerun nobody", "show refused.plan", "apply refused.plan", "apply --rerun nobody", "apply --yes --rerun nobody", "plan --file other.yaml", "plan --offline --pull", "apply --yes --offline",
}

// TestWhatPeopleRead compares what commands say with what they said: a change is looked at, and written with -update-words.
func TestWhatPeopleRead(t *testing.T) {
	golden, err := filepath.Abs("testdata/words.golden")
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t)
	b.hosts.Findings = []driver.Finding{
		{Code: "no_kvm", Severity: "note", Message: "there is no /dev/kvm", Next: "run on a host with KVM"},
		{Code: "no_vmm", Severity: "error", Message: "there is no VMM", Next: "install one"},
	}
	for name, data := range map[string][]byte{"microagent.yaml": []byte(goldenManifest), "env": []byte("# a comment\n\nC=3\n"), "disk.ext4": []byte("disk"),
		"b.tar": drivertest.Tar(t, drivertest.Entry{Name: "f", Data: "x"})} {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var got strings.Builder
	for _, line := range spokenCommands {
		if strings.HasPrefix(line, "#") {
			fmt.Fprintf(&got, "%s\n\n", line)
			continue
		}
		s := b.run(argumentsOf(line)...)
		fmt.Fprintf(&got, "$ microagent %s\n%s%sexit %d\n\n", line, steadyWords(b, s.out), steadyWords(b, s.stderr), s.code)
		cmd, _, err := silent().root().Find(argumentsOf(line))
		if err == nil && cmd.Runnable() && !slices.Contains(exitsOf(cmd), s.code) && !slices.Contains(exitsOf(cmd), ExitOurs) {
			t.Errorf("%s exits with %d, and its help does not say so", line, s.code)
		}
		if line != "render" && strings.Contains(s.out+s.stderr, "canary") {
			t.Errorf("%s shows the value of an environment variable:\n%s%s", line, s.out, s.stderr)
		}
	}
	holdGolden(t, golden, got.String(), *updateWords, "-run TestWhatPeopleRead -update-words")
}

var changingWords = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\dZ?`), "TIME"},
	{regexp.MustCompile(`\b\d+\.\ds\b`), "SECONDS"},
	{regexp.MustCompile(`(?m)^(go|platform|revision|built|microagent) .*$`), "$1 BUILD"},
}

func steadyWords(b *bench, text string) string {
	text = steady(b, text)
	for _, c := range changingWords {
		text = c.what.ReplaceAllString(text, c.by)
	}
	return text
}
