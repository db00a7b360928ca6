package refresh

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"microagent/plan/observed"
	"microagent/runtime/driver"
	"microagent/schema/spec"
)

func TestEnvironmentLiesOnceInARecord(t *testing.T) {
	want := observed.WorkspaceSpec{Name: "p.x", Image: "i", Mode: spec.ModeService, Desired: spec.DesiredRunning,
		Guest: spec.Guest{Env: map[string]string{"TOKEN": "canary", "EMPTY": ""}, Hostname: "db"}}
	recorded := driver.WorkspaceSpec{Name: "p.x", Process: spec.Process{Guest: spec.Guest{
		Env: map[string]string{"PATH": "/bin", "TOKEN": "canary", "EMPTY": ""}, Hostname: "db"}}}
	if err := Record(want, &recorded); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(recorded)
	if err != nil || bytes.Count(data, []byte("canary")) != 1 {
		t.Errorf("%s, %v", data, err)
	}
	if want.Env["TOKEN"] != "canary" {
		t.Error("recording a spec changed it")
	}
	var again driver.WorkspaceSpec
	if err := json.Unmarshal(data, &again); err != nil {
		t.Fatal(err)
	}
	if got, err := Applied(again); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestRecordOfF365b52 has the environment twice: what was declared, and that with the image's.
func TestRecordOfF365b52(t *testing.T) {
	var recorded driver.WorkspaceSpec
	if err := json.Unmarshal([]byte(`{"name":"p.x","process":{"mode":"idle","env":{"A":"1","PATH":"/bin"},"user":"u"},"stop_grace":10000000000,
		"applied":{"name":"p.x","image":"i","mode":"idle","desired":"running","env":{"A":"1"},"user":"u","stop_grace":10000000000}}`), &recorded); err != nil {
		t.Fatal(err)
	}
	got, err := Applied(recorded)
	want := observed.WorkspaceSpec{Name: "p.x", Image: "i", Mode: spec.ModeIdle, Desired: spec.DesiredRunning, StopGrace: 10e9,
		Guest: spec.Guest{Env: map[string]string{"A": "1"}, User: "u"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	for name, form := range map[string]string{"none": "", "another": `{"name":["p"]}`} {
		if _, err := Applied(driver.WorkspaceSpec{Name: "p.x", Applied: json.RawMessage(form)}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
