package workspace

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/testscripts/lane"
)

// TestACopyThatNeverAnswersGivesWayToABoot waits as long as a copy may take. Its guest is one that waits for another answer than
// the one that it gets.
func TestACopyThatNeverAnswersGivesWayToABoot(t *testing.T) {
	if !lane.All() {
		t.Skip("a copy may take a minute: TESTS=all")
	}
	if os.Getenv("MICROAGENT_TEST_VMM") == "cloud-hypervisor" {
		t.Skip("no guest of cloud-hypervisor waits for an answer")
	}
	t.Parallel()
	s := open(t, t.TempDir())
	create(t, s, spec("one", idle))
	create(t, s, spec("two", driver.Process{Mode: driver.ModeService, Argv: []string{"sh", "-c", "echo up; sleep 100000"}, StopSignal: "SIGTERM"}))
	if run := start(t, s, "one"); run.Boot == nil || !run.Boot.Saved {
		t.Fatalf("a first start: %+v", run.Boot)
	}
	found, err := filepath.Glob(filepath.Join(s.State.Templates(), "*", "state.json"))
	if err != nil || len(found) != 1 {
		t.Fatalf("templates %v, %v", found, err)
	}
	data, err := os.ReadFile(found[0])
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		Hello []byte `json:"hello"`
	}
	if err := json.Unmarshal(data, &state); err != nil {
		t.Fatal(err)
	}
	other := bytes.Clone(state.Hello)
	other[len(other)-2] ^= 1 // a digit of the nonce
	was, _ := json.Marshal(state.Hello)
	is, _ := json.Marshal(other)
	if err := os.WriteFile(found[0], bytes.Replace(data, was, is, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	run := start(t, s, "two")
	if run.Phase != driver.PhaseRunning || run.Boot == nil || run.Boot.Template != "" || !run.Boot.Refused || !run.Boot.Saved ||
		!strings.Contains(run.Boot.Why, "a copy of its template did not come up: ") {
		t.Errorf("a start whose copy is silent: %s, %+v", run.Phase, run.Boot)
	}
	if got := sh(t, s, "two", "cat /etc/release"); got != "image 1\n" {
		t.Errorf("its root file system says %q", got)
	}
	if run.Restarts != nil {
		t.Errorf("that is no end of the process: %+v", run.Restarts)
	}
}
