package testscripts

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"microagent/runtime/confine"
)

// confined NAME: what the workspace's supervisor started has no capability and can get none, and opens no file but its
// own where the kernel has landlock.
func confined(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "confined NAME")
	supervisor, folder := runPID(ts, args[0])
	n, adapter := 0, false
	for pid, line := range below(folder) {
		if pid == supervisor {
			continue
		}
		n++
		adapter = adapter || strings.Contains(line, "qemu-system")
		status := processStatus(ts, pid)
		sets := []string{"CapInh", "CapPrm", "CapEff", "CapAmb"}
		if processStatus(ts, os.Getpid())["CapEff"] != none { // the bounding set is root's to drop
			sets = append(sets, "CapBnd")
		}
		for _, set := range sets {
			if status[set] != none {
				ts.Fatalf("%s of %d is %q: %s", set, pid, status[set], line)
			}
		}
		if status["NoNewPrivs"] != "1" {
			ts.Fatalf("%d may get privileges: %s", pid, line)
		}
	}
	if n == 0 || adapter && n != 2 {
		ts.Fatalf("not all of a VMM runs: %v", below(folder))
	}
	landlock := underLandlock(ts, args[0])
	ts.Logf("it says landlock: %t; the kernel's has version %d", landlock, confine.LandlockVersion())
	if adapter && landlock != (confine.LandlockVersion() > 0) {
		ts.Fatalf("which is wrong")
	}
	if !adapter && !landlock { // it would take the disk
		return
	}
	// The API opens what it is told to, and this file is of the VMM's own user.
	outside := ts.MkAbs("outside")
	ts.Check(os.WriteFile(outside, make([]byte, 1<<20), 0o600))
	code, answer := addDisk(ts, folder, outside)
	if denied := strings.Contains(answer, "ermission denied"); denied != landlock {
		ts.Fatalf("a disk outside the VMM's folder is answered by %d %s", code, answer)
	}
}

// underLandlock is what the program says of the workspace's VMM.
func underLandlock(ts *testscript.TestScript, name string) bool {
	var run struct {
		Sandbox struct {
			Landlock bool `json:"landlock"`
		} `json:"sandbox"`
	}
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(filepath.Join(ts.Getenv("STATE"), "workspaces", name, "run.json"))), &run))
	return run.Sandbox.Landlock
}

const none = "0000000000000000"

func processStatus(ts *testscript.TestScript, pid int) map[string]string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	ts.Check(err)
	fields := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	return fields
}

// addDisk asks the VMM of the workspace in folder to open a file as a disk.
func addDisk(ts *testscript.TestScript, folder, path string) (int, string) {
	dir, err := os.Open(folder)
	ts.Check(err)
	defer dir.Close()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", fmt.Sprintf("/proc/self/fd/%d/vmm/api.sock", dir.Fd()))
	}}}
	body, err := json.Marshal(map[string]any{"path": path, "readonly": true})
	ts.Check(err)
	request, err := http.NewRequest(http.MethodPut, "http://vmm/api/v1/vm.add-disk", bytes.NewReader(body))
	ts.Check(err)
	response, err := client.Do(request)
	ts.Check(err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	ts.Check(err)
	return response.StatusCode, string(answer)
}
