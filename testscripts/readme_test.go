package testscripts

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// jobs is the part of README whose sections are run.
const jobs = "Five jobs"

// section is the text below a heading of README, up to the next of its level or above.
func section(text, heading string) string {
	level, _, _ := strings.Cut(heading, " ")
	_, rest, found := strings.Cut("\n"+text, "\n"+heading+"\n")
	if !found {
		return ""
	}
	end := regexp.MustCompile(`(?m)^#{1,` + string('0'+rune(len(level))) + `} `).FindStringIndex(rest)
	if end != nil {
		rest = rest[:end[0]]
	}
	return rest
}

var fenced = regexp.MustCompile("(?ms)^```(\\w+)\n(.*?)^```$")

// readme SECTION [FROM=TO...]: does what a section of README's "Five jobs" says: its manifest becomes microagent.yaml, its
// commands are run, and each line that it shows is one that they wrote, where ... stands for anything. FROM is replaced by
// TO in all of that.
func readme(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "readme SECTION [FROM=TO...]")
	data, err := os.ReadFile(filepath.Join(ts.Getenv("EXAMPLES"), "../README.md"))
	ts.Check(err)
	text := section(section(string(data), "## "+jobs), "### "+args[0])
	for _, a := range args[1:] {
		from, to, _ := strings.Cut(a, "=")
		text = strings.ReplaceAll(text, from, to)
	}
	ran := 0
	for _, block := range fenced.FindAllStringSubmatch(text, -1) {
		switch block[1] {
		case "yaml":
			ts.Check(os.WriteFile(ts.MkAbs("microagent.yaml"), []byte(block[2]), 0o644))
		case "console":
			for _, step := range strings.Split("\n"+block[2], "\n$ ")[1:] {
				command, shown, _ := strings.Cut(step, "\n")
				ran++
				if err := ts.Exec("sh", "-c", command); err != nil {
					ts.Fatalf("%s: %v", command, err)
				}
				wrote := ts.ReadFile("stdout") + ts.ReadFile("stderr")
				for _, line := range strings.Split(strings.TrimSpace(shown), "\n") {
					pattern := "(?m)^" + strings.ReplaceAll(regexp.QuoteMeta(line), `\.\.\.`, ".*") + "$"
					if !regexp.MustCompile(pattern).MatchString(wrote) {
						ts.Fatalf("%s did not write %q", command, line)
					}
				}
			}
		}
	}
	if ran == 0 {
		ts.Fatalf("README's %s has no commands in a section %q", jobs, args[0])
	}
}

// TestDocumentsJobs: each of README's jobs is run by the script, and there are as many as it says.
func TestDocumentsJobs(t *testing.T) {
	data, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	script, err := os.ReadFile("testdata/five_jobs.txtar")
	if err != nil {
		t.Fatal(err)
	}
	headings := regexp.MustCompile(`(?m)^### (.*)$`).FindAllStringSubmatch(section(string(data), "## "+jobs), -1)
	if len(headings) != 5 {
		t.Errorf("%d jobs", len(headings))
	}
	for _, h := range headings {
		if !strings.Contains(string(script), "\nreadme '"+strings.ReplaceAll(h[1], "'", "''")+"'") {
			t.Errorf("no script runs %q", h[1])
		}
	}
}
