package testscripts

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// commands are what scripts can say besides testscript's own words.
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"status":         status,
	"waitfor":        waitfor,
	"portof":         portof,
	"fetch":          fetch,
	"free":           free,
	"hold":           hold,
	"jsonpath":       jsonpath,
	"normalize":      normalize,
	"tree":           tree,
	"example":        example,
	"told":           told,
	"kernel":         kernel,
	"registry":       registry,
	"killrun":        killrun,
	"freeze":         freeze,
	"older":          buildOlder,
	"static":         buildStatic,
	"killvmm":        killvmm,
	"vmapi":          vmapi,
	"confined":       confined,
	"killall":        killall,
	"killcalls":      killcalls,
	"killwrites":     killwrites,
	"killeffects":    killeffects,
	"allcallskilled": allcallskilled,
	"idle":           idle,
	"size":           size,
	"pty":            pty,
	"next":           next,
	"serve":          serve,
	"authority":      authority,
	"readme":         readme,
	"remember":       remember,
	"gateway":        gateway,
	"counts":         counts,
}

func need(ts *testscript.TestScript, neg bool, args []string, n int, usage string) {
	if neg || len(args) < n {
		ts.Fatalf("usage: %s", usage)
	}
}

// status N COMMAND...: the command's exit code is exactly N.
func status(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "status N COMMAND...")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	err = ts.Exec(args[1], args[2:]...)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exit.ExitCode()
	case err != nil:
		ts.Fatalf("%s: %v", args[1], err)
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

// waitfor SECONDS COMMAND...: the command succeeds within that time.
func waitfor(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "waitfor SECONDS COMMAND...")
	seconds, err := strconv.Atoi(args[0])
	ts.Check(err)
	deadline := time.Now().Add(time.Duration(seconds) * time.Second)
	for {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%s: still failing after %ds: %v", strings.Join(args[1:], " "), seconds, err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// jsonpath FILE PATH WANT: the value at PATH (keys and indexes, with dots between them; # is a list's length).
// Without WANT the path exists; with ! it does not.
func jsonpath(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 || len(args) > 3 {
		ts.Fatalf("usage: [!] jsonpath FILE PATH [WANT]")
	}
	doc := document(ts, args[0])
	v, ok := walk(doc, strings.Split(args[1], "."))
	if len(args) == 2 {
		if ok == neg {
			ts.Fatalf("%s: %s present: %v", args[0], args[1], ok)
		}
		return
	}
	if !ok {
		ts.Fatalf("%s: no %s", args[0], args[1])
	}
	got, isText := v.(string)
	if !isText {
		data, err := json.Marshal(v)
		ts.Check(err)
		got = string(data)
	}
	if (got == args[2]) == neg {
		ts.Fatalf("%s: %s is %q, want %q", args[0], args[1], got, args[2])
	}
}

// document is the JSON value in a file; of several, as in a stream, it is the list.
func document(ts *testscript.TestScript, file string) any {
	var all []any
	for dec := json.NewDecoder(strings.NewReader(ts.ReadFile(file))); ; {
		var v any
		err := dec.Decode(&v)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			ts.Fatalf("%s: %v", file, err)
		}
		all = append(all, v)
	}
	switch len(all) {
	case 0:
		ts.Fatalf("%s: it is empty", file)
	case 1:
		return all[0]
	}
	return all
}

// walk goes down a path of keys and indices, of which -1 is the last.
func walk(v any, path []string) (any, bool) {
	for _, key := range path {
		switch node := v.(type) {
		case map[string]any:
			next, ok := node[key]
			if !ok {
				return nil, false
			}
			v = next
		case []any:
			if key == "#" {
				v = len(node)
				continue
			}
			i, err := strconv.Atoi(key)
			if i < 0 {
				i += len(node)
			}
			if err != nil || i < 0 || i >= len(node) {
				return nil, false
			}
			v = node[i]
		default:
			return nil, false
		}
	}
	return v, true
}

// remember VARIABLE: sets a variable to what the last command wrote to stdout, without the newline at its end.
func remember(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "remember VARIABLE")
	ts.Setenv(args[0], strings.TrimSuffix(ts.ReadFile("stdout"), "\n"))
}

var variable = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`sha256:[0-9a-f]{64}`), "sha256:DIGEST"},
	{regexp.MustCompile(`[0-9a-f]{64}`), "DIGEST"},
	{regexp.MustCompile(`sha256:[0-9a-f]{6,}`), "sha256:DIGEST"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "TIME"},
	{regexp.MustCompile(`run-\d{10,}`), "run-N"},
	{regexp.MustCompile(`pid \d+`), "pid N"},
	{regexp.MustCompile(`\b\d+(\.\d+)?m?s\b`), "DURATION"},
	{regexp.MustCompile(`qemu \d+\.\d+(\.\d+)? \((tcg|kvm)\)`), "VMM"},
	{regexp.MustCompile(`cloud-hypervisor v\d+\.\d+(\.\d+)?`), "VMM"},
	{regexp.MustCompile(`\d+\.\d+\.\d+-\d+-cloud-amd64`), "KERNEL"},
}

// normalize FROM TO: writes FROM to TO with what differs from run to run replaced by a word.
func normalize(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "normalize FROM TO")
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(normalized(ts, args[0])), 0o644))
}

func normalized(ts *testscript.TestScript, file string) string {
	text := strings.ReplaceAll(ts.ReadFile(file), ts.Getenv("WORK"), "$WORK")
	for _, v := range variable {
		text = v.what.ReplaceAllString(text, v.by)
	}
	return text
}

// tree DIR FILE: writes a line for each file below DIR: mode, size, modification time, content. Two of them that are
// the same mean that nothing was written between.
func tree(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "tree DIR FILE")
	var out bytes.Buffer
	dir := ts.MkAbs(args[0])
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		sum := ""
		if info.Mode().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			h := sha256.Sum256(data)
			sum = hex.EncodeToString(h[:8])
		}
		name, _ := filepath.Rel(dir, path)
		_, err = fmt.Fprintf(&out, "%s %v %d %d %s\n", name, info.Mode(), info.Size(), info.ModTime().UnixNano(), sum)
		return err
	}))
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), out.Bytes(), 0o644))
}

// size FILE MIN MAX: the file takes at least MIN and at most MAX bytes of disk.
func size(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "size FILE MIN MAX")
	var limits []int64
	for _, a := range args[1:3] {
		n, err := strconv.ParseInt(a, 10, 64)
		ts.Check(err)
		limits = append(limits, n)
	}
	got := allocated(ts.MkAbs(args[0]))
	if got < limits[0] || got > limits[1] {
		ts.Fatalf("%s takes %d bytes", args[0], got)
	}
}

func sorted(m map[int]string) []int {
	var list []int
	for pid := range m {
		list = append(list, pid)
	}
	slices.Sort(list)
	return list
}
