package agent

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"microagent/runtime/guest/proto/wire"
)

func write(t *testing.T, path, content string, mode os.FileMode) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFindUser(t *testing.T) {
	dir := t.TempDir()
	a := accounts{
		write(t, filepath.Join(dir, "passwd"), "root:x:0:0::/root:/bin/sh\napp:x:100:101::/srv:/bin/sh\nbroken\nodd:x:x:y::/:\n7:x:70:71::/seven:\n", 0o644),
		write(t, filepath.Join(dir, "group"), "root:x:0:\napp:x:101:\nmedia:x:44:app,other\nwheel:x:10:root\n", 0o644),
	}
	for spec, want := range map[string]identity{
		"":            {0, 0, []uint32{0, 10}, "/root"},
		"app":         {100, 101, []uint32{101, 44}, "/srv"},
		"100":         {100, 101, []uint32{101, 44}, "/srv"},
		"app:media":   {100, 44, []uint32{44}, "/srv"},
		"app:7":       {100, 7, []uint32{7}, "/srv"},
		"0100":        {100, 101, []uint32{101, 44}, "/srv"}, // numbers are compared as numbers
		"4000":        {4000, 0, []uint32{0}, "/"},
		"4000:4001":   {4000, 4001, []uint32{4001}, "/"},
		"7":           {70, 71, []uint32{71}, "/seven"}, // a name before a number
		"app:":        {100, 101, []uint32{101, 44}, "/srv"},
		":media":      {0, 44, []uint32{44}, "/root"},
		"4294967294":  {4294967294, 0, []uint32{0}, "/"},
		"100:missing": {},
		"missing":     {},
		"odd":         {},
		"4294967295":  {},
		"-1":          {},
	} {
		got, err := a.find(spec)
		if want.home == "" {
			if err == nil {
				t.Errorf("%q is %+v", spec, got)
			}
			continue
		}
		if err != nil || got.uid != want.uid || got.gid != want.gid || got.home != want.home || !slices.Equal(got.groups, want.groups) {
			t.Errorf("%q: %+v, %v; want %+v", spec, got, err, want)
		}
	}
	none := accounts{filepath.Join(dir, "no"), filepath.Join(dir, "no")}
	if id, err := none.find("0"); err != nil || id.uid != 0 || id.home != "/root" {
		t.Errorf("root without files: %+v, %v", id, err)
	}
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]syscall.Signal{
		"": 15, "TERM": 15, "SIGTERM": 15, "sigint": 2, "9": 9, "SIGRTMIN+3": 37, "RTMAX": 64, "RTMAX-1": 63, "RTMIN": 34, "SIGCLD": 17, "POLL": 29, "SIGIOT": 6, "STKFLT": 16,
		"0": 0, "65": 0, "SIGNOPE": 0, "RTMIN+99": 0, "RTMIN-1": 0, "RTMINx": 0,
	} {
		got, err := parseSignal(in)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
}

func TestFindProgram(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"a", "b", "b/sub"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "a/tool"), "", 0o644)
	write(t, filepath.Join(dir, "b/tool"), "", 0o755)
	write(t, filepath.Join(dir, "a/data"), "", 0o644)
	path := filepath.Join(dir, "a") + ":" + filepath.Join(dir, "b") + "::" + filepath.Join(dir, "none")
	for name, want := range map[string]any{
		"tool": filepath.Join(dir, "b/tool"), "b/tool": "b/tool", "./b/tool": "./b/tool", // as it was written: it is what the program sees of itself
		"data": 126, "nope": 127, "sub": 126, "a/tool": 126, "b/nope": 127, "a/tool/x": 127, "": 127,
	} {
		got, err := find(name, dir, path, (&identity{}).runnable)
		if code, bad := want.(int); bad {
			nr, ok := errors.AsType[*notRun](err)
			if !ok || nr.code != code {
				t.Errorf("%q: %q, %v; want %d", name, got, err, code)
			}
		} else if got != want || err != nil {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
}

func TestResolveMakesWorkdirAndEnvironment(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep/er")
	p := &wire.Process{Argv: []string{"/bin/sh", "x"}, Env: map[string]string{"HOME": "/mine", "Z": "1"}, Workdir: dir}
	c, err := resolve(p, accounts{}, true, p.GetWorkdir())
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		t.Errorf("working directory: %v", err)
	}
	if !slices.Contains(c.env, "HOME=/mine") || !slices.Contains(c.env, "TERM=xterm") || !slices.Contains(c.env, "PATH="+defaultPath) {
		t.Errorf("environment %q", c.env)
	}
	for name, bad := range map[string]*wire.Process{
		"no command":   {},
		"bad variable": {Argv: []string{"/bin/sh"}, Env: map[string]string{"a=b": "c"}},
		"zero byte":    {Argv: []string{"/bin/sh", "a\x00b"}},
		"workdir":      {Argv: []string{"/bin/sh"}, Workdir: "/bin/sh/x"},
	} {
		if _, err := resolve(bad, accounts{}, false, bad.GetWorkdir()); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	m := merge(&wire.Process{Argv: []string{"base"}, User: "u", Env: map[string]string{"A": "1", "B": "2"}, Workdir: "/w"},
		&wire.Process{Argv: []string{"over"}, Env: map[string]string{"B": "3"}})
	if m.GetArgv()[0] != "over" || m.GetUser() != "u" || m.GetWorkdir() != "/w" || m.GetEnv()["A"] != "1" || m.GetEnv()["B"] != "3" {
		t.Errorf("merged %+v", m)
	}
}
