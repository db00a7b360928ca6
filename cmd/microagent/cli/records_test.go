package cli

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// TestRecordsOnStderr: with --progress json, and without --json, each line on stderr is a JSON object: events, what is
// said beside them, faults of the manifest, errors of every kind, and the log of -v.
func TestRecordsOnStderr(t *testing.T) {
	b := newBench(t)
	manifest := func(text string) {
		t.Helper()
		if err := os.WriteFile("microagent.yaml", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile("b", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const image = "docker.io/library/alpine:3.20"
	manifest("project: p\nbundles: {unused: {source: ./b}}\nworkspaces: {w: {image: " + image + "}}\n")
	for _, c := range []struct {
		args, manifest string
		code           int
		keys           []string // each is in some line
	}{
		{args: "apply --yes", keys: []string{"type", "summary"}},
		{args: "apply --yes -v", keys: []string{"summary"}},
		{args: "apply", code: ExitOK},
		{args: "status nosuch", code: ExitFailed, keys: []string{"error"}},
		{args: "start w", keys: []string{"message"}},
		{args: "apply --nosuch", code: ExitUsage, keys: []string{"error"}},
		{args: "--progress auto apply --nosuch --progress=json", code: ExitUsage, keys: []string{"error"}},
		{args: "volume create", code: ExitUsage, keys: []string{"error"}},
		{args: "apply --yes", manifest: "project: p\nworkspaces: {w: {image: x, tusk: []}, v: {}}\n", code: ExitInvalid, keys: []string{"summary"}},
		{args: "apply --yes", manifest: "project: p\nworkspaces: {w: {image: nosuch.example/x:1}}\n", code: ExitFailed, keys: []string{"summary"}},
		{args: "destroy", code: ExitRefused, keys: []string{"error"}},
	} {
		if c.manifest != "" {
			manifest(c.manifest)
		}
		got := b.run(append([]string{"--progress", "json"}, strings.Fields(c.args)...)...)
		if got.code != c.code {
			t.Errorf("%s: exit code %d, want %d", c.args, got.code, c.code)
		}
		seen := map[string]bool{}
		for line := range strings.Lines(got.stderr) {
			var record map[string]any
			if err := json.Unmarshal([]byte(line), &record); err != nil {
				t.Errorf("%s: no record: %q", c.args, line)
			}
			for key := range record {
				seen[key] = true
			}
		}
		for _, key := range c.keys {
			if !seen[key] {
				t.Errorf("%s: no record has %q:\n%s", c.args, key, got.stderr)
			}
		}
	}
}
