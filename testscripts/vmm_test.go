package testscripts

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"microagent/runtime/layout"
	"microagent/runtime/machine"
)

// resizes says whether the VMM of scripts changes CPUs and memory of a guest that runs.
func resizes() (bool, error) {
	c, err := machine.Config{VMM: os.Getenv("MICROAGENT_VMM"), CloudHypervisor: os.Getenv(machine.EnvCloudHypervisor)}.Choose(context.Background())
	return c.Kind == machine.CloudHypervisor, err
}

// vmapi NAME ENDPOINT [BODY]: asks the VMM of a workspace behind its supervisor's back, with PUT where a body is given, "" or not.
func vmapi(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "vmapi NAME ENDPOINT [BODY]")
	_, folder := runPID(ts, args[0])
	dir, err := os.Open(folder)
	ts.Check(err)
	defer dir.Close()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		path := fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), layout.APISocket) // of any length
		return (&net.Dialer{}).DialContext(ctx, "unix", path)
	}}}
	method, body := http.MethodGet, io.Reader(nil)
	if len(args) > 2 {
		method, body = http.MethodPut, strings.NewReader(args[2])
	}
	req, err := http.NewRequest(method, "http://localhost/api/v1/"+args[1], body)
	ts.Check(err)
	if req.ContentLength > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	answer, err := client.Do(req)
	ts.Check(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	ts.Check(err)
	if answer.StatusCode/100 != 2 {
		ts.Fatalf("%s: %s: %s", args[1], answer.Status, text)
	}
	ts.Check(os.WriteFile(ts.MkAbs(filepath.Base(args[1])+".json"), text, 0o600))
}
