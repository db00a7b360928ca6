package testscripts

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const module = "microagent/"

// rooms are the packages of runtime that a room may import besides the contracts (driver, layout, lease) and its own
// sub-rooms. A room that is not here may import no other.
var rooms = map[string][]string{
	"compress":      {},
	"tartree":       {},
	"filetime":      {},
	"drivertest":    {},
	"disk":          {"compress", "filetime", "guesttree", "tartree"},
	"volume":        {"compress", "disk/ext4", "disk/layer", "disk/sparse", "disk/target", "tartree"},
	"kernel":        {"compress", "tartree"},
	"image":         {"compress", "tartree"},
	"output":        {"guesttree", "tartree"},
	"guesttree":     {"tartree"},
	"project":       {"machine/rotate"},
	"confine":       {},
	"guest/agent":   {"filetime", "guest/chardev", "guest/hotplug", "guest/proto", "network/packets", "tartree"},
	"guest/initd":   {"guest/proto", "guest/agent", "guest/chardev", "guest/hotplug"},
	"guest/proto":   {},
	"network":       {"confine", "guest/proto", "machine/rotate"},
	"ports":         {"guest/proto"},
	"guest/payload": {},
	"guest/hotplug": {},
	"template":      {},
	"machine":       {"confine", "kernel", "guest/proto", "template"},
	"qemu":          {"guest/proto", "template/memory", "template/processor"},
	"supervise":     {"template", "network", "ports", "disk/ext4", "disk/target", "machine", "guest/proto", "kernel", "volume", "output", "project"},
	"workspace":     {"network/denial", "supervise", "machine", "guest/proto", "kernel", "volume", "output", "disk", "image", "guesttree"},
}

// contracts are what every room of runtime may import.
var contracts = []string{"driver", "layout", "lease"}

// leaves are packages that all rooms may import, the guest's too, and that import the standard library alone, or what
// allowedLeaf says.
var leaves = []string{"runtime/disk/ext4/super", "runtime/disk/sparse", "runtime/event", "runtime/frame", "runtime/gitfolder", "runtime/listentable", "schema/address", "schema/dnsname", "schema/imageref", "schema/pattern", "schema/printable", "schema/quantity", "schema/spec"}

// allowedLeaf are the exceptions, by package.
var allowedLeaf = map[string][]string{
	module + "runtime/disk/sparse": {"golang.org/x/sys/unix"},
	module + "schema/dnsname":      {"golang.org/x/net/idna"},
	module + "schema/imageref":     {"github.com/distribution/reference", module + "schema/pattern"},
}

// inner are sub-rooms of runtime that their room alone may import.
var inner = []string{"supervise/attach"}

// ext4Order is which parts of the file system's code each may import; all may the words in the folder itself.
var ext4Order = map[string][]string{
	"format": {"super"},
	"read":   {"super", "format"},
	"build":  {"super", "format"},
	"edit":   {"super", "format", "read"},
	"check":  {"super", "format", "read"},
}

const ext4 = "runtime/disk/ext4"

// overCH are the rooms that may speak the VMM's API.
var overCH = []string{"machine", "qemu", "supervise", "workspace"}

// homes are the packages that alone may import what is read in one way: others ask them.
var homes = map[string][]string{
	"compress/gzip":                      {"runtime/compress"},
	"compress/bzip2":                     {"runtime/compress"},
	"compress/zlib":                      {"runtime/compress"},
	"github.com/klauspost/compress/gzip": {"runtime/compress"},
	"github.com/klauspost/compress/zstd": {"runtime/compress", "runtime/guest/payload/build"},
	"github.com/ulikunitz/xz":            {"runtime/compress"},
	"github.com/pierrec/lz4/v4":          {"runtime/compress"},
}

// impure is what schema and plan must not import themselves.
var impure = []string{"os/exec", "net", "net/http", "os", "math/rand", "math/rand/v2", "crypto/rand", "syscall"}

// allowedImpure are the exceptions, by package. A plan file is bytes in a file.
var allowedImpure = map[string][]string{"microagent/plan/planfile": {"os"}}

// listed is a package as go list describes it.
type listed struct {
	ImportPath string
	Name       string
	Dir        string
	Imports    []string
	Deps       []string
	GoFiles    []string
	Standard   bool

	TestGoFiles, XTestGoFiles []string
}

func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json"}, args...)...)
	cmd.Dir = ".."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []listed
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// TestArchitectureImports holds every package to the directions that imports may go in.
func TestArchitectureImports(t *testing.T) {
	packages := list(t, "./...")
	if len(packages) < 20 {
		t.Fatalf("only %d packages found", len(packages))
	}
	for _, p := range packages {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, module)
			if ours && !mayImport(from, to) {
				t.Errorf("%s imports %s", from, to)
			}
			if strings.HasPrefix(imp, "gvisor.dev/") && !in(from, "runtime/network/stack") {
				t.Errorf("%s imports %s, which only runtime/network/stack may", from, imp)
			}
			if home, ok := homes[imp]; ok && !slices.Contains(home, from) && !in(from, "testscripts") {
				t.Errorf("%s imports %s, which only %v may", from, imp, home)
			}
			if pure(from) && slices.Contains(impure, imp) && !slices.Contains(allowedImpure[p.ImportPath], imp) {
				t.Errorf("%s is to be pure and imports %s", from, imp)
			}
		}
	}
}

func in(pkg, room string) bool { return pkg == room || strings.HasPrefix(pkg, room+"/") }

func pure(pkg string) bool { return in(pkg, "schema") || in(pkg, "plan") }

func mayImport(from, to string) bool {
	switch {
	case in(to, "cmd"):
		return from == "cmd/microagent" && to == "cmd/microagent/cli" || from == "cmd/microagent/cli" && in(to, from)
	case in(from, "cmd/microagent/cli/term"):
		return in(to, "schema") || to == "runtime/driver" || to == "runtime/event"
	case from == "testscripts/hostileguest": // a guest's init, of the guest's own packages; nothing can import a program
		return in(to, "runtime/guest")
	case from == "testscripts/bench": // a program that measures the drivers of disks; nothing can import it
		return in(to, "runtime/disk") || slices.Contains([]string{"runtime/compress", "runtime/driver", "runtime/layout"}, to)
	case in(from, "testscripts"):
		return in(to, "testscripts")
	case in(from, "cmd/microagent-guest"):
		return in(to, "runtime/guest")
	case in(from, "cmd/microagent"):
		return true // wiring; the test below narrows it
	case in(from, "schema"):
		return in(to, "schema")
	case in(from, "plan"):
		return in(to, "plan") || in(to, "schema")
	case in(from, "apply"):
		return in(to, "apply") || in(to, "plan") || in(to, "schema") || to == "runtime/driver" || to == "runtime/event" || to == "runtime/gitfolder"
	case in(from, "ch/chtest"):
		return in(to, "ch") || in(to, "runtime/guest") || to == "runtime/kernel" || to == "runtime/network/packets"
	case in(from, "ch"):
		return in(to, "ch")
	case in(from, "runtime"):
		return roomMayImport(strings.TrimPrefix(from, "runtime/"), to)
	}
	return false
}

func roomMayImport(from, to string) bool {
	if slices.Contains(leaves, to) {
		return from != "driver" || to == "schema/spec"
	}
	if in(to, "ch") {
		return slices.ContainsFunc(overCH, func(room string) bool { return in(from, room) })
	}
	if below, inside := strings.CutPrefix(to, ext4+"/"); inside && in("runtime/"+from, ext4) {
		return slices.Contains(ext4Order[strings.TrimPrefix("runtime/"+from, ext4+"/")], below)
	}
	other, ok := strings.CutPrefix(to, "runtime/")
	if !ok {
		return false
	}
	for _, c := range contracts {
		if other == c {
			return from != "driver"
		}
	}
	if i := slices.IndexFunc(inner, func(p string) bool { return in(other, p) }); i >= 0 && !in(from, path.Dir(inner[i])) {
		return false
	}
	for room, more := range rooms {
		if in(from, room) && (in(other, room) || slices.ContainsFunc(more, func(m string) bool { return in(other, m) })) {
			return true
		}
	}
	return false
}

// TestArchitectureWiring: one file of the commands knows the drivers.
func TestArchitectureWiring(t *testing.T) {
	implementations := []string{"disk", "image", "volume", "project", "output", "machine", "qemu", "supervise", "workspace", "guest"}
	files, err := filepath.Glob("../cmd/microagent/cli/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files: %v", err)
	}
	for _, file := range files {
		if filepath.Base(file) == "wiring.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, room := range implementations {
			if bytes.Contains(data, []byte(`"`+module+"runtime/"+room)) {
				t.Errorf("%s imports the driver %s; only wiring.go may", file, room)
			}
		}
	}
}

// TestArchitectureGuest keeps the guest's binary small, and drivers' contracts on the standard library alone.
func TestArchitectureGuest(t *testing.T) {
	for _, p := range list(t, "./cmd/microagent-guest") {
		for _, dep := range p.Deps {
			for _, heavy := range []string{"cuelang.org/", "github.com/containerd/containerd/", module + "ch", "github.com/spf13/"} {
				if strings.HasPrefix(dep, heavy) {
					t.Errorf("the guest's binary depends on %s", dep)
				}
			}
		}
	}
	alone := []string{"./runtime/driver"}
	for _, leaf := range leaves {
		alone = append(alone, "./"+leaf)
	}
	for _, p := range list(t, alone...) {
		for _, imp := range p.Imports {
			first, _, _ := strings.Cut(imp, "/")
			if (strings.Contains(first, ".") || strings.HasPrefix(imp, module) && imp != module+"schema/spec") && !slices.Contains(allowedLeaf[p.ImportPath], imp) {
				t.Errorf("%s is to import the standard library alone and imports %s", p.ImportPath, imp)
			}
		}
	}
}

// ownNames is how a name of a tar's header is cleaned without tartree.
var ownNames = regexp.MustCompile(`path\.Clean\([^\n]*\bh(dr)?\.(Name|Linkname)`)

// TestArchitectureTar: streams of tars are read in one place, and so are the names in them. Tests and what only tests use read as they like.
func TestArchitectureTar(t *testing.T) {
	seen := false
	for _, p := range list(t, "./...") {
		from := strings.TrimPrefix(p.ImportPath, module)
		if in(from, "testscripts") || in(from, "runtime/drivertest") {
			continue
		}
		for _, file := range p.GoFiles {
			data, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if from != "runtime/tartree" && ownNames.Match(data) {
				t.Errorf("%s/%s cleans a tar's name by itself; runtime/tartree does", from, file)
			}
			if !bytes.Contains(data, []byte("tar.NewReader(")) {
				continue
			}
			if seen = seen || from == "runtime/tartree"; from != "runtime/tartree" {
				t.Errorf("%s/%s reads a tar by itself; runtime/tartree does", from, file)
			}
		}
	}
	if !seen {
		t.Error("runtime/tartree reads no tar: this test looks for the wrong words")
	}
}

// TestArchitectureLease: who claims a disk asks what it lies on, and gets what a claim of that may be used for.
func TestArchitectureLease(t *testing.T) {
	seen := false
	for _, p := range list(t, "./...") {
		from := strings.TrimPrefix(p.ImportPath, module)
		for _, file := range p.GoFiles {
			data, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(data, []byte(" lease.Acquire(")) {
				continue
			}
			if seen = seen || from == "runtime/disk/target"; from != "runtime/disk/target" {
				t.Errorf("%s/%s takes a lease by itself; runtime/disk/target does", from, file)
			}
		}
	}
	if !seen {
		t.Error("runtime/disk/target takes no lease: this test looks for the wrong words")
	}
}

// TestArchitectureExpressions: no command compiles an expression that it does not use.
func TestArchitectureExpressions(t *testing.T) {
	seen := false
	for _, p := range list(t, "./...") {
		from := strings.TrimPrefix(p.ImportPath, module)
		if in(from, "testscripts") {
			continue
		}
		for _, file := range p.GoFiles {
			data, err := os.ReadFile(filepath.Join(p.Dir, file))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(data, []byte("regexp.MustCompile")) {
				continue
			}
			if seen = seen || from == "schema/pattern"; from != "schema/pattern" {
				t.Errorf("%s/%s compiles an expression by itself; schema/pattern does when it is asked for", from, file)
			}
		}
	}
	if !seen {
		t.Error("schema/pattern compiles no expression: this test looks for the wrong words")
	}
}

// TestArchitectureFiles: a file is one idea, and a package is called by what it is.
func TestArchitectureFiles(t *testing.T) {
	vague := []string{"util", "utils", "common", "helpers", "helper", "types", "manager", "misc", "shared", "base"}
	top := []string{"apply", "ch", "cmd", "examples", "plan", "runtime", "schema", "testscripts"}
	for _, p := range list(t, "./...") {
		from := strings.TrimPrefix(p.ImportPath, module)
		if slices.Contains(vague, path.Base(from)) || slices.Contains(vague, p.Name) {
			t.Errorf("package %s is called by no idea", from)
		}
		if first, _, _ := strings.Cut(from, "/"); !slices.Contains(top, first) {
			t.Errorf("there is no room called %s", first)
		}
		if from == "runtime" {
			t.Error("runtime has Go files of its own")
		}
		for _, file := range p.GoFiles {
			if n, generated := lines(t, filepath.Join(p.Dir, file)); n > 500 && !generated {
				t.Errorf("%s/%s has %d lines", from, file, n)
			}
		}
	}
}

func lines(t *testing.T, file string) (n int, generated bool) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 16<<20)
	for s.Scan() {
		n++
		if n < 10 && strings.HasPrefix(s.Text(), "// Code generated ") {
			generated = true
		}
	}
	return n, generated
}
