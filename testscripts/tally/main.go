// Command tally reads the records of go test -json, shows what failed and what was skipped and why, and closes with
// one line that counts. It fails when a test failed, when a skip is not in the list of those that are expected, and
// when there was no test at all.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

func main() {
	title := flag.String("title", "tests", "what the closing line calls them")
	skips := flag.String("skips", "testscripts/skips", "file with a pattern for the reason of each expected skip")
	flag.Parse()
	expected, err := patterns(*skips)
	if err == nil {
		var t tally
		if err = t.read(os.Stdin, os.Stdout); err == nil {
			err = t.close(os.Stdout, *title, expected)
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", *title, err)
		os.Exit(1)
	}
}

// patterns are the lines of file that are neither empty nor comments.
func patterns(file string) ([]string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var list []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			list = append(list, line)
		}
	}
	return list, nil
}

// record is one line of go test -json, as `go doc test2json` describes it.
type record struct {
	Action      string
	Package     string
	ImportPath  string
	Test        string
	Output      string
	Elapsed     float64
	FailedBuild string
}

type tally struct {
	passed, failed   int
	skipped          []skip
	packages, broken int
	output           map[string]*strings.Builder
}

type skip struct{ test, reason string }

// read takes the records and shows a line for each package, and the output of what failed.
func (t *tally) read(r io.Reader, w io.Writer) error {
	t.output = map[string]*strings.Builder{}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var rec record
		if err := json.Unmarshal(lines.Bytes(), &rec); err != nil {
			fmt.Fprintln(w, lines.Text())
			continue
		}
		t.take(rec, w)
	}
	return lines.Err()
}

func (t *tally) take(rec record, w io.Writer) {
	key := rec.Package + " " + rec.Test
	switch rec.Action {
	case "build-output":
		fmt.Fprint(w, rec.Output)
	case "output":
		if t.output[key] == nil {
			t.output[key] = &strings.Builder{}
		}
		t.output[key].WriteString(rec.Output)
	case "pass", "fail", "skip":
		if rec.Test == "" {
			t.endPackage(rec, w)
		} else {
			t.endTest(rec, w)
		}
		delete(t.output, key)
	}
}

// endPackage shows the runner's own closing line of a package, and everything that a broken one said.
func (t *tally) endPackage(rec record, w io.Writer) {
	t.packages++
	broken := rec.Action == "fail"
	if broken {
		t.broken++
	}
	out := t.output[rec.Package+" "]
	if out == nil {
		return
	}
	for line := range strings.Lines(out.String()) {
		if broken || strings.HasPrefix(line, "ok") || strings.HasPrefix(line, "?") {
			fmt.Fprint(w, line)
		}
	}
}

func (t *tally) endTest(rec record, w io.Writer) {
	key := rec.Package + " " + rec.Test
	name := rec.Package + "." + rec.Test
	switch rec.Action {
	case "pass":
		t.passed++
	case "fail":
		t.failed++
		fmt.Fprintf(w, "--- FAIL  %s (%.1fs)\n", name, rec.Elapsed)
		t.show(key, w)
	case "skip":
		s := skip{test: name}
		if out := t.output[key]; out != nil {
			s.reason = reason(out.String())
		}
		t.skipped = append(t.skipped, s)
	}
}

func (t *tally) show(key string, w io.Writer) {
	if out := t.output[key]; out != nil {
		fmt.Fprint(w, out.String())
	}
}

// reason is what a test said before it skipped, without the runner's own lines.
func reason(output string) string {
	var list []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "===") && !strings.HasPrefix(line, "---") {
			list = append(list, line)
		}
	}
	return strings.Join(list, "; ")
}

// close prints the skips and the closing line.
func (t *tally) close(w io.Writer, title string, expected []string) error {
	unexpected := 0
	for _, s := range t.skipped {
		word := "skip "
		if !slices.ContainsFunc(expected, func(p string) bool { return strings.Contains(s.reason, p) }) {
			word = "UNEXPECTED SKIP "
			unexpected++
		}
		fmt.Fprintf(w, "%s %s: %s\n", word, s.test, s.reason)
	}
	fmt.Fprintf(w, "%s: %d passed, %d failed, %d skipped (%d unexpected), in %d packages\n",
		title, t.passed, t.failed, len(t.skipped), unexpected, t.packages)
	switch {
	case t.failed > 0 || t.broken > 0:
		return fmt.Errorf("%d tests in %d packages failed", t.failed, t.broken)
	case unexpected > 0:
		return fmt.Errorf("%d tests were skipped for reasons that testscripts/skips does not list", unexpected)
	case t.passed == 0:
		return fmt.Errorf("no test ran")
	}
	return nil
}
