package control

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/layout"
	"microagent/schema/spec"
)

// shapes are what each line of a golden file is. A name may go on behind a "-".
var shapes = map[string]any{
	"request hello": header{}, "request status": header{}, "request kill": header{}, "request wait": header{}, "request ping": header{},
	"request sync": header{}, "request logs": logsRequest{}, "request halt": haltRequest{}, "request exec": execRequest{},
	"request signal": signalRequest{}, "request resize": resizeRequest{}, "request fetch": fetchRequest{}, "request put": putRequest{},
	"request stat": statRequest{}, "request grow": growRequest{}, "request publish": portsRequest{}, "request permit": networkRequest{}, "request set_env": envRequest{},
	"request freeze": volumeRequest{}, "request trim": volumeRequest{}, "request mount": mountRequest{}, "request resize_vm": vmRequest{},
	"request start_job": jobRequest{}, "request wait_job": ofJobRequest{}, "request stop_job": ofJobRequest{},
	"result job":   jobResult{},
	"result hello": helloResult{}, "result ended": endedResult{}, "result exec": execResult{}, "result stat": statResult{},
	"result grow": growResult{}, "result stats": statsResult{}, "result nothing": outcome{}, "result failed": outcome{}, "result crashed": outcome{},
	"frame steering": steeringWire{}, "ready line": readyLine{},
}

// TestWireGolden: what f365b52 sends is understood whole, since it becomes the same bytes again, and so is what is sent now.
func TestWireGolden(t *testing.T) {
	for _, file := range []string{"f365b52.wire", "now.wire"} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(data)) {
			name, content, _ := strings.Cut(line, " {")
			content = "{" + strings.TrimSuffix(content, "\n")
			name, _, _ = strings.Cut(name, "-")
			shape, ok := shapes[name]
			if !ok {
				t.Errorf("%s: nothing is known of %q", file, name)
				continue
			}
			v := reflect.New(reflect.TypeOf(shape))
			if err := json.Unmarshal([]byte(content), v.Interface()); err != nil {
				t.Errorf("%s: %s: %v", file, name, err)
			}
			if got, err := json.Marshal(v.Interface()); err != nil || string(got) != content {
				t.Errorf("%s: %s became\n%s, %v\nof\n%s", file, name, got, err, content)
			}
		}
	}
}

// TestWireNow: the golden file has what is sent, with every field in use.
func TestWireNow(t *testing.T) {
	run := drivertest.Filled[driver.Run](t)
	exec := drivertest.Filled[execWire](t)
	var now bytes.Buffer
	for _, l := range []struct {
		name string
		v    any
	}{
		{"request ping", Client{}.head(CallPing)},
		{"request exec", execRequest{Client{}.head(CallExec), &exec}},
		{"request set_env", envRequest{Client{}.head(CallSetEnv), map[string]string{"A": "b"}}},
		{"request freeze", volumeRequest{Client{}.head(CallFreeze), "data"}},
		{"request trim", volumeRequest{Client{}.head(CallTrim), "data"}},
		{"request mount", mountRequest{Client{}.head(CallMount), []spec.Mount{drivertest.Filled[spec.Mount](t)}}},
		{"request resize_vm", vmRequest{Client{}.head(CallResizeVM), 2, 512 << 20}},
		{"request permit", networkRequest{Client{}.head(CallPermit), fullNetwork(t)}},
		{"request publish", portsRequest{Client{}.head(CallPublish), []spec.Port{drivertest.Filled[spec.Port](t)}, true}},
		{"result hello", helloResult{outcome{FailureOf(&driver.Error{Class: driver.ErrBusy, Op: "op", Object: "ob", Next: "n"})}, Version, Minor, "tool", new(runWireOf(run))}},
		{"result ended", answerEnd(Ended{Run: run, Forced: true}, nil)},
		{"result stats", statsResult{outcome{}, drivertest.Filled[driver.GuestUse](t)}},
		{"result crashed", outcome{FailureOf(&driver.CrashError{Workspace: "w", Phase: "boot", Reason: "panic", Console: []string{"a"}, Log: "/l"})}},
		{"request start_job", jobRequest{Client{IfRun: "r"}.head(CallStartJob), drivertest.Filled[specWire](t), jobOutputShapes(drivertest.Filled[driver.Job](t).Outputs)}},
		{"request stop_job", ofJobRequest{Client{}.head(CallStopJob), "id", 7, true}},
		{"result job", answerJob(drivertest.Filled[driver.Job](t), nil)},
		{"frame steering-signal", steeringWire{Signal: "INT"}},
		{"frame steering-size", steeringWire{Rows: 24, Columns: 80}},
	} {
		data, err := json.Marshal(l.v)
		if err != nil {
			t.Fatal(err)
		}
		now.WriteString(l.name + " " + string(data) + "\n")
	}
	now.WriteString("ready line " + string(EncodeReady(run, nil)))
	same(t, "now.wire", now.Bytes())
	if back, failed, err := DecodeReady(EncodeReady(run, nil)); err != nil || failed != nil || !reflect.DeepEqual(back, run) {
		t.Errorf("the ready line gives %+v, %v, %v", back, failed, err)
	}
}

// fullNetwork has every field; its ports are such as can be read back.
func fullNetwork(t *testing.T) *spec.Network {
	n := drivertest.Filled[spec.Network](t)
	ports := []spec.PortRange{{First: 80, Last: 90}}
	for _, rules := range [][]spec.Rule{n.Allow, n.Deny} {
		for i := range rules {
			rules[i].Ports, rules[i].UDP = ports, ports
		}
	}
	for i := range n.Grants {
		n.Grants[i].Ports = ports
	}
	return &n
}

// TestRunFileGolden: run.json of f365b52 is understood whole; the file as it is written now has every field, and none gets
// lost on its way through a shape.
func TestRunFileGolden(t *testing.T) {
	folder := layout.Workspace{Dir: t.TempDir()}
	for _, file := range []string{"f365b52.run.json", "f365b52.starting.json"} {
		data, err := os.ReadFile(filepath.Join("testdata", file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(folder.Run(), data, 0o600); err != nil {
			t.Fatal(err)
		}
		run, err := readRun(folder)
		if err != nil {
			t.Fatal(err)
		}
		if err := WriteRun(folder, run); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(folder.Run()); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%s became %s, %v", file, got, err)
		}
	}
	run := drivertest.Filled[driver.Run](t)
	if got := runWireOf(run).run(); !reflect.DeepEqual(got, run) {
		t.Errorf("over the wire it is %+v", got)
	}
	if err := WriteRun(folder, run); err != nil {
		t.Fatal(err)
	}
	if got, err := readRun(folder); err != nil || !reflect.DeepEqual(got, run) {
		t.Errorf("from run.json it is %+v, %v", got, err)
	}
	got, err := os.ReadFile(folder.Run())
	if err != nil {
		t.Fatal(err)
	}
	same(t, "now.run.json", got)
}

// TestJobFileGolden: job.json has every field of a job, no environment, and loses none on its way through a shape.
func TestJobFileGolden(t *testing.T) {
	folder := layout.Workspace{Dir: filepath.Join(t.TempDir(), "one")}
	id, err := CreateJob(folder)
	if err != nil {
		t.Fatal(err)
	}
	want := drivertest.Filled[driver.Job](t)
	want.ID, want.Workspace, want.Taken = id, "one", nil
	if err := WriteJob(folder, want); err != nil {
		t.Fatal(err)
	}
	if got, err := ReadJob(folder, id); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("from job.json it is %+v, %v", got, err)
	}
	data, err := os.ReadFile(folder.Job(id).File(layout.JobFile))
	if err != nil {
		t.Fatal(err)
	}
	same(t, "now.job.json", bytes.ReplaceAll(data, []byte(id), []byte("ID")))
}

var update = flag.Bool("update", false, "write the goldens anew: what is in them already is frozen")

// same compares with a golden file.
func same(t *testing.T, file string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not\n%s", path, got)
	}
}
