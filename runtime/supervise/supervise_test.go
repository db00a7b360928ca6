package supervise

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

func workspace(t *testing.T) layout.Workspace {
	t.Helper()
	w := layout.Workspace{Dir: t.TempDir()}
	if err := os.WriteFile(w.RootFS(), make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestEnvironmentIsClean(t *testing.T) {
	t.Setenv("MICROAGENT_TEST_HOOK", "1")
	t.Setenv("AWS_SECRET", "1")
	for _, e := range environment() {
		if strings.HasPrefix(e, "MICROAGENT") || strings.HasPrefix(e, "AWS") {
			t.Error(e)
		}
	}
}

func TestASpecOfAnotherVersionIsRefused(t *testing.T) {
	var ready bytes.Buffer
	err := Run(context.Background(), Spec{Version: Version + 1}, Options{Ready: &ready})
	if !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(ready.String(), `"class":"not_supported"`) {
		t.Errorf("%v, ready line %q", err, ready.String())
	}
}

// A guest that stays silent is told of with the reason that the last attempt to reach it gave.
func TestLastReason(t *testing.T) {
	silent := &driver.Error{Op: "connect to guest", Err: errors.Join(context.DeadlineExceeded, errors.New("vsock port 1024: nothing listens"))}
	if got := lastReason(silent); got != "vsock port 1024: nothing listens" {
		t.Errorf("the reason is %q", got)
	}
}
