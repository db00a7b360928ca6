package cli

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microagent/cmd/microagent/cli/term"
)

// typed runs a command line on an empty state directory, in a folder of its own.
func typed(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	state := filepath.Join(t.TempDir(), "state")
	a := &app{Screen: &term.Screen{In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: func(name string) string {
		return map[string]string{"MICROAGENT_STATE_DIR": state}[name]
	}}}
	return a.main(t.Context(), args), out.String(), errs.String()
}

const sound = "project: sound\nworkspaces: {w: {image: \"oci:./image\"}}\n"

func inFolder(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTyped is what people type who know another tool, or who put a flag where they are used to.
func TestTyped(t *testing.T) {
	inFolder(t, map[string]string{"a.yaml": sound, "warned.yaml": sound + "bundles: {b: {source: ./b}}\n", "bad.yaml": "project: sound\nworkspaces: {w: {image: x, depends_on: [y]}}\n"})
	for _, c := range []struct {
		args string
		code int
		err  []string // parts of stderr
	}{
		{"up -d", 64, []string{`no command "up"`, "next: microagent apply"}},
		{"down", 64, []string{"next: microagent destroy"}},
		{"shell web", 64, []string{"next: microagent exec -it web -- sh"}},
		{"ps -a", 64, []string{"list shows workspaces that are stopped, too", "next: microagent list"}},
		{"stop -t 5 web", 64, []string{"--grace 5s"}},
		{"run --privileged image", 64, []string{"root in its own guest"}},
		{"run -m 1g image", 64, []string{"--memory"}},
		{"sh web", 64, []string{"next: microagent exec -it web -- sh"}},
		{"resume web", 64, []string{"next: microagent start web"}},
		{"volumes", 64, []string{"next: microagent volume list"}},
		{"load image.tar", 64, []string{"next: microagent image import --help"}},
		{"help nosuch", 64, []string{`no command "nosuch"`}},
		{"help up", 64, []string{"next: microagent apply"}},
		{"stauts", 64, []string{"did you mean start or stats or status?"}},
		{"volume creat x", 64, []string{"did you mean create?", "next: microagent volume --help"}},
		{"plan web", 64, []string{`microagent plan takes no argument, and there is "web"`}},
		{"wait", 64, []string{"microagent wait needs WORKSPACE\n"}},
		{"logs --since yesterday", 64, []string{"--since is \"yesterday\"; it can be how long ago, as 90s or 10m, or a date"}},
		{"logs --console -t w", 64, []string{"--console has no times but the guest kernel's own"}},
		{"cp a", 64, []string{"DESTINATION is missing"}},
		{"network explain w", 64, []string{"needs WORKSPACE and HOST[:PORT], and HOST[:PORT] is missing"}},
		{"wait a b", 64, []string{`takes WORKSPACE, and there is "b" as well`}},
		{"run --rm image", 64, []string{"a run's workspace is deleted when it ends"}},
		{"run -d image", 64, []string{"next: microagent create --help"}},
		{"rm -f web", 64, []string{`needs WORKSPACE, and "web" is the manifest, which --file or -f names`}},
		{"run --network host image", 64, []string{"--allow-net HOST says what the guest may reach"}},
		{"run --restart always image", 64, []string{"its restart: says when it begins anew", "next: microagent schema"}},
		{"network create x", 64, []string{`microagent network has no command "create"`, "next: microagent network --help"}},
		{"run --nosuch image", 64, []string{"unknown flag: --nosuch", "next: microagent run --help"}},
		{"run -p 80 image true", 64, []string{"-p", `"80" has no port of the host`, "auto:80"}},
		{"run -p 8080:80 -p 8080:81 image true", 64, []string{"are one port of the host"}},
		{"create x --image i -p localhost:8080:80", 64, []string{"which it is without an address"}},
		{"start w -p 8080:80/sctp", 64, []string{"tcp or udp"}},
		{"forward w web", 64, []string{`"web"`, "a number from 1 to 65535"}},
		{"-p 80:80 status", 64, []string{"-p publishes a port, with run, create and start", "--project"}},
		{"status -p shop", 64, []string{"-p publishes a port, with run, create and start", "--project"}},
		{"--project Shop status", 64, []string{"--project: "}},
		{"-f a.yaml -f bad.yaml validate", 64, []string{"one manifest at a time, and there is a.yaml already"}},
		{"-f a.yaml validate -f bad.yaml", 64, []string{"one manifest at a time"}},
		{"-f a.yaml logs w", 1, []string{"show logs of workspace w: there is none of that name"}},
		{"logs -f w", 1, []string{"show logs of workspace w: there is none of that name"}},
		{"logs --tail -1 w", 64, []string{`--tail is "-1"; write a whole number of 0 or more`}},
		{"logs --tail=many w", 64, []string{`--tail is "many"; write a whole number`}},
		{"run --map-exit=x image true", 64, []string{`--map-exit is "x"; write --map-exit alone, or leave it out`}},
		{"run --cpus 1.5 image true", 64, []string{`--cpus is "1.5"; write a whole number from 1 to 254`}},
		{"run --cpus 0 image true", 64, []string{"from 1 to 254"}},
		{"run --timeout 5 image true", 64, []string{`--timeout is "5"; write a number with a unit, such as 10s`}},
		{"run --timeout=-5s image true", 64, []string{`--timeout is "-5s"; write`}},
		{"halt --grace x w", 64, []string{`--grace is "x"; write a number with a unit`}},
		{"apply --parallel -1", 64, []string{`--parallel is "-1"; write a whole number of 0 or more`}},
		{"volume create data --size-mib -1", 64, []string{`--size-mib is "-1"; write a whole number of 1 or more`}},
		{"kernel install --deb", 64, []string{"--deb has no value: "}},
		{"run -p 1-65535:1-65535 image true", 64, []string{"a range of 65535 ports", "write a range of 1024 at most, such as 8000-8010"}},
		{"run -p -1:80 image true", 64, []string{`"-1" is no number from 1 to 65535; write HOST:GUEST`}},
		{"create x --image i -p unix:/" + strings.Repeat("long/", 30) + "s:80", 64, []string{"has 152 bytes, where one has 107 at most; write a shorter one"}},
		{"run -e =hunter2 image true", 64, []string{"has no name", "write NAME=VALUE"}},
		{"run -u a:b:c image true", 64, []string{`--user is "a:b:c"; write`}},
		{"exec -w here w true", 64, []string{`--workdir is "here"; write an absolute path`}},
		{"run --bundle x image true", 64, []string{`--bundle is "x"; write name=PATH:/mount`}},
		{"run -v ./nosuch:/x image true", 64, []string{"write a name such as data, or a path such as ./data.tar"}},
		{"--state-dir a.yaml list", 1, []string{"state directory ", "a.yaml can't be used", "next: name a folder of yours with --state-dir"}},
		{"--state-dir a.yaml volume create data --size 8MiB", 1, []string{"can't be used", "next: name a folder"}},
		{"-v run", 64, []string{"an image is missing"}},
		{"exec w --timeout 1s -- true", 125, []string{"exec in workspace w: there is none"}},
		{"exec w --timeout 1x -- true", 64, []string{"--timeout"}},
		{"exec w -e A=1", 64, []string{"what to run in w is missing"}},
		{"exec w --", 64, []string{"what to run in w is missing"}},
		{"exec w --nosuch true", 64, []string{"unknown flag: --nosuch"}},
		{"exec", 64, []string{"the workspace and the command to run in it are missing"}},
		{"halt --job= w", 64, []string{"write an id; it is empty"}},
		{"wait --job= w", 64, []string{"write an id; it is empty"}},
		{"exec --if-run= w true", 64, []string{"write an id; it is empty"}},
		{"cp --if-run= a w:/a", 64, []string{"write an id; it is empty"}},
		{"exec w -d -it -- sh", 64, []string{"nobody talks to"}},
		{"apply w", 64, []string{"there is no file w", "apply takes a plan that plan -o saved"}},
		{"apply a.yaml --rerun w", 64, []string{"a.yaml is a plan that is made already, and --rerun would change it"}},
		{"apply a.yaml --offline --overwrite-outputs", 64, []string{"--offline and --overwrite-outputs would change it"}},
		{"--project other apply a.yaml", 64, []string{"--project would change it"}},
		{"-f warned.yaml validate", 0, []string{"warned.yaml:3:11: warning: "}},
		{"-f warned.yaml validate --strict", 4, []string{"warned.yaml:3:11: warning: ", "\n1 warning\n"}},
		{"-f bad.yaml validate", 4, []string{"depends_on", "use after: {y: started}", "1 error\n"}},
	} {
		code, _, stderr := typed(t, strings.Fields(c.args)...)
		if code != c.code {
			t.Errorf("%s: exit code %d, want %d", c.args, code, c.code)
		}
		if strings.Contains(stderr, "hunter2") {
			t.Errorf("%s: a variable's value is shown: %s", c.args, stderr)
		}
		for _, part := range c.err {
			if !strings.Contains(stderr, part) {
				t.Errorf("%s: stderr has no %q:\n%s", c.args, part, stderr)
			}
		}
	}
}

// The words of a command's usage line are what its arguments are held to.
func TestWordsOfUsage(t *testing.T) {
	for use, want := range map[string]string{
		"grow VOLUME --size-mib N":         "VOLUME||false",
		"output get WS OUTPUT [PATH]":      "WS OUTPUT|PATH|false",
		"rm REFERENCE...":                  "REFERENCE||true",
		"help [COMMAND...]":                "|COMMAND|true",
		"exec [flags] WORKSPACE [--] X...": "WORKSPACE X||true",
	} {
		w := wordsOf(use)
		got := strings.Join(w.required, " ") + "|" + strings.Join(w.optional, " ") + "|" + map[bool]string{true: "true", false: "false"}[w.more]
		if got != want {
			t.Errorf("%s: %s, want %s", use, got, want)
		}
	}
}

// The advice to say yes keeps what was typed, ready for a shell.
func TestAgainKeepsFlags(t *testing.T) {
	inFolder(t, map[string]string{"my file.yaml": strings.ReplaceAll(sound, "oci:./image", "oci:../image")})
	a := &app{Screen: &term.Screen{Err: &bytes.Buffer{}, Out: &bytes.Buffer{}, Getenv: func(string) string { return "" }}}
	root := a.root()
	for _, c := range root.Commands() {
		if c.Name() == "apply" {
			c.RunE = does(func(context.Context, []string) error { return nil })
		}
	}
	root.SetArgs([]string{"-f", "my file.yaml", "--state-dir", "s", "apply", "--allow-path", "/a", "--allow-path", "/b c", "--offline", "--json", "--project", "x"})
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	want := "microagent -f 'my file.yaml' --project x --state-dir s apply --allow-path /a --allow-path '/b c' --offline --yes"
	if got := a.commandAgain(); got != want {
		t.Errorf("again is\n%s, want\n%s", got, want)
	}
}

// Advice is for the world in which the command looked: other state directories, projects and folders stay in it.
func TestAdviceReachesTheSameWorld(t *testing.T) {
	inFolder(t, map[string]string{"a.yaml": sound})
	for args, want := range map[string]string{
		"--state-dir s halt w":                           "next: microagent --state-dir s list\n",
		"--state-dir s -f a.yaml --project other halt w": "next: microagent --state-dir s list\n",
		"--vmm qemu volume status v":                     "next: microagent --vmm qemu volume list\n",
		"--project other destroy --state-dir s":          "next: microagent --project other --state-dir s status --all\n",
		"--state-dir s run --nosuch":                     "next: microagent run --help\n",
		"halt w":                                         "next: microagent list\n",
	} {
		if _, _, stderr := typed(t, strings.Fields(args)...); !strings.HasSuffix(stderr, want) {
			t.Errorf("%s: %s, want %s", args, stderr, want)
		}
	}
	a := &app{Screen: &term.Screen{Err: &bytes.Buffer{}, Getenv: func(string) string { return "" }}}
	a.command = a.root()
	a.flags = globalFlags{dir: "my dir", file: "a.yaml"}
	for text, want := range map[string]string{
		"microagent halt w && microagent start w": "microagent -C 'my dir' halt w && microagent -C 'my dir' start w",
		"make it: microagent apply --yes":         "make it: microagent -C 'my dir' -f a.yaml apply --yes",
		"a\n   microagent volume delete v\nb":     "a\n   microagent -C 'my dir' volume delete v\nb",
		"x (microagent volume list shows them)":   "x (microagent -C 'my dir' volume list shows them)",
		"microagent -f b.yaml apply --yes":        "microagent -f b.yaml apply --yes",
		"use microagent 2.0 or later":             "use microagent 2.0 or later",
	} {
		if got := a.reaching(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestValidateJSON(t *testing.T) {
	inFolder(t, map[string]string{"a.yaml": sound, "warned.yaml": sound + "bundles: {b: {source: ./b}}\n", "bad.yaml": "project: sound\nnosuch: 1\n"})
	code, stdout, stderr := typed(t, "-f", "a.yaml", "validate", "--json")
	if want := `{"format":1,"valid":true,"project":"sound","errors":0,"warnings":0}` + "\n"; code != 0 || stdout != want || stderr != "" {
		t.Errorf("a sound one: %d, stdout %s, stderr %s", code, stdout, stderr)
	}
	code, stdout, stderr = typed(t, "-f", "bad.yaml", "validate", "--json")
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	if code != 4 || len(lines) != 2 || !strings.HasPrefix(lines[0], `{"format":1,"valid":false,`) || !strings.Contains(lines[1], `"unknown_key"`) || stderr != "" {
		t.Errorf("a bad one: %d, stdout %s, stderr %s", code, stdout, stderr)
	}
}

// Tab gives names and not files where a name is wanted.
func TestCompletesNames(t *testing.T) {
	for args, want := range map[string]string{
		"start|":         ":4", // no files
		"volume|delete|": ":4",
		"image|rm|":      ":4",
		"cp|./":          ":0", // files
		"apply|--rerun|": ":4",
		"help|volu":      "volume",
		"exec|":          ":4",
		"output|get|":    ":4",
		"logs|--job|":    ":4",
		"wait|w|--job|":  ":4",
		"restore|":       ":4",
	} {
		_, stdout, _ := typed(t, append([]string{"__complete"}, strings.Split(args, "|")...)...)
		if !strings.Contains(stdout, want) {
			t.Errorf("%s: %s", args, stdout)
		}
	}
}
