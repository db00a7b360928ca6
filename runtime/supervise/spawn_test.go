package supervise

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

func TestChildrenInheritNothingByAccident(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	// A descriptor as a shell's "exec 9>lock" leaves it: open in every child.
	inherited, err := syscall.Dup(int(w.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	links := func() string {
		cmd := exec.Command("sh", "-c", "ls -l /proc/self/fd")
		cmd.ExtraFiles = []*os.File{r}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	pipe, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(inherited))
	if err != nil {
		t.Fatal(err)
	}
	if before := strings.Count(links(), pipe); before != 2 {
		t.Fatalf("the child had the pipe %d times before", before)
	}
	closeOnExec()
	if after := strings.Count(links(), pipe); after != 1 {
		t.Errorf("the child has the pipe %d times, not once as it was given", after)
	}
}

func TestOwnLogIsBounded(t *testing.T) {
	var out strings.Builder
	w := &boundedWriter{w: &out, left: 100}
	for range 50 {
		if n, err := w.Write([]byte("a line\n")); n != 7 || err != nil {
			t.Fatalf("Write: %d, %v", n, err)
		}
	}
	if text := out.String(); len(text) > 200 || strings.Count(text, "a line\n") != 14 || !strings.HasSuffix(text, "dropped\n") {
		t.Errorf("the log holds %q", text)
	}
}

// However much a guest makes libraries log, its supervisor still has its say, and all of it has a bound.
func TestAGuestCannotSilenceTheLog(t *testing.T) {
	var log bytes.Buffer
	own, guests := logWriters(&log)
	flood := bytes.Repeat([]byte("frame on an unknown stream\n"), 1000)
	for range 1000 {
		if _, err := guests.Write(flood); err != nil {
			t.Fatal(err)
		}
	}
	if log.Len() > guestLogLimit+len(flood)+100 {
		t.Errorf("a guest filled %d bytes", log.Len())
	}
	if _, err := io.WriteString(own, "the supervisor's word\n"); err != nil || !strings.Contains(log.String(), "the supervisor's word") {
		t.Errorf("the supervisor was not heard: %v", err)
	}
	for range 1000 {
		_, _ = own.Write(flood)
	}
	if log.Len() > guestLogLimit+ownLogLimit+2*len(flood)+200 {
		t.Errorf("the log has %d bytes", log.Len())
	}
}

// TestSpawnOfWhatEnds: of a supervisor that ended by itself its last words are the reason, of one that was killed that.
func TestSpawnOfWhatEnds(t *testing.T) {
	for script, want := range map[string]string{
		"echo cannot go on >&2; exit 1":    "the supervisor ended: cannot go on",
		"echo all is well >&2; kill -9 $$": "its supervisor was killed before the guest was up: signal: killed",
	} {
		state := layout.State{Dir: t.TempDir()}
		if err := os.MkdirAll(state.Workspace("one").Dir, 0o700); err != nil {
			t.Fatal(err)
		}
		_, err := Spawn(t.Context(), []string{"sh", "-c", script}, Spec{State: state.Dir, Workspace: driver.WorkspaceSpec{Name: "one"}})
		if err == nil || !strings.HasSuffix(err.Error(), want) || !strings.HasPrefix(driver.Next(err), "microagent logs --supervisor ") {
			t.Errorf("%s: %v, next %q", script, err, driver.Next(err))
		}
	}
}
