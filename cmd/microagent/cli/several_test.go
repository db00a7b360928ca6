package cli

import (
	"errors"
	"os"
	"strings"
	"testing"

	"microagent/runtime/driver"
)

// TestSeveral: each is done even if another fails, each once, told in the order of the names.
func TestSeveral(t *testing.T) {
	b := newBench(t)
	for _, name := range []string{"one", "two"} {
		if s := b.run("create", name, "--image", "docker.io/library/alpine:3.20"); s.code != 0 {
			t.Fatal(s)
		}
	}
	const none = "error: %s workspace none: there is none of that name\nnext: microagent list\n"
	failed := func(op string) string { return strings.ReplaceAll(none, "%s", op) }
	for _, c := range []struct {
		line        string
		code        int
		out, stderr string
	}{
		{"start two none one two", 1, "", "Started \"two\"\nStarted \"one\"\n" + failed("start")},
		{"start one -p 80:80 two", 64, "", "error: -p publishes ports of one workspace, and there are 2\nnext: microagent start --help\n"},
		{"restart one --wait-timeout 1s", 64, "", "error: --wait-timeout is for --wait\nnext: microagent restart --help\n"},
		{"restart one none --wait", 1, "", "Restarted \"one\"\n" + failed("restart")},
		{"--json halt one none two", 1, `{"forced":false,"name":"one","was_running":true}` + "\n" + `{"forced":false,"name":"two","was_running":true}` + "\n",
			`"object":"none"`},
		{"halt two", 0, "", "\"two\" was not running\n"},
		{"delete none one two", 5, "", "error: delete workspace one and two: "},
		{"list", 0, "one", ""},
		{"delete none one two --yes", 1, "", "Deleted \"one\"\nDeleted \"two\"\n" + failed("delete")},
	} {
		s := b.run(strings.Fields(c.line)...)
		var said []string // but for the word on isolation, which comes when it comes
		for _, line := range strings.SplitAfter(s.stderr, "\n") {
			if !strings.Contains(line, "no security boundary") {
				said = append(said, line)
			}
		}
		s.stderr = strings.Join(said, "")
		if s.code != c.code || !strings.Contains(s.out, c.out) || !strings.HasPrefix(s.stderr, c.stderr) && !strings.Contains(s.stderr, c.stderr) {
			t.Errorf("%s: %d, %q and %q", c.line, s.code, s.out, s.stderr)
		}
	}
	if list := b.run("list", "--json"); strings.TrimSpace(list.out) != "[]" {
		t.Errorf("left are %s", list.out)
	}
}

// TestSeveralExitLikeTheFirst that failed, whatever the others did.
func TestSeveralExitLikeTheFirst(t *testing.T) {
	refused := &driver.Error{Class: driver.ErrRefused, Op: "start workspace", Object: "a"}
	busy := &driver.Error{Class: driver.ErrBusy, Op: "start workspace", Object: "b"}
	for _, c := range []struct {
		err  error
		code int
	}{{severalError{refused, busy}.of(), ExitRefused}, {severalError{busy, refused}.of(), ExitLocked}, {severalError{errors.New("x"), busy}.of(), ExitFailed}, {severalError{}.of(), ExitOK}} {
		if code := exitCode(c.err); code != c.code {
			t.Errorf("%v: %d, want %d", c.err, code, c.code)
		}
	}
}

// TestSeveralKeepTheirOrder, whichever is named first: what comes after another goes down before it and up after it, once the
// other is as far as its manifest says.
func TestSeveralKeepTheirOrder(t *testing.T) {
	b := newBench(t)
	const manifest = `project: shop
workspaces:
  db: {image: "docker.io/library/alpine:3.20", ready: {port: 80}}
  web: {image: "docker.io/library/alpine:3.20", after: {db: ready}}
`
	if err := os.WriteFile(ManifestName, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := b.run("apply", "--yes"); s.code != 0 {
		t.Fatal(s)
	}
	for _, c := range []struct{ line, calls string }{
		{"restart web db", "stop shop.web, stop shop.db, start shop.db, await shop.db, start shop.web"},
		{"halt db web", "stop shop.web, stop shop.db"},
		{"start web db", "start shop.db, await shop.db, start shop.web"},
		{"restart db", "stop shop.db, start shop.db, await shop.db"},
		{"restart web", "stop shop.web, start shop.web"},
		{"delete db web --yes", "stop shop.web, retire shop.web, stop shop.db, retire shop.db"},
	} {
		before := len(b.workspaces.Calls())
		if s := b.run(strings.Fields(c.line)...); s.code != 0 {
			t.Fatalf("%s: %+v", c.line, s)
		}
		var calls []string
		for _, call := range b.workspaces.Calls()[before:] {
			if op, _, _ := strings.Cut(call, " "); op == "start" || op == "stop" || op == "await" || op == "retire" {
				calls = append(calls, call)
			}
		}
		if got := strings.Join(calls, ", "); got != c.calls {
			t.Errorf("%s: %s, not %s", c.line, got, c.calls)
		}
	}
}
