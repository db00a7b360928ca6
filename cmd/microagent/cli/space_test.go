package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"microagent/runtime/driver"
)

func TestFullDiskSaysWhatIsFreeAndWhatFreesMore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gone", "draft")
	full := fmt.Errorf("make it: %w", &fs.PathError{Op: "write", Path: path, Err: syscall.ENOSPC})
	said := regexp.MustCompile(`^make it: write ` + path + `: no space left on device, where \d.* (B|[KMGT]iB) are free now$`)
	for _, err := range []error{full, &driver.Error{Class: driver.ErrNoSpace, Op: "make", Object: "it", Err: errors.Unwrap(full), Next: driver.NextNoSpace}} {
		r := (&app{}).describe(err)
		if r.Code != "no_space" || !said.MatchString(r.Message) || !strings.HasSuffix(r.Next, "; to remove what nothing uses: microagent prune") {
			t.Errorf("%+v", r)
		}
	}
	if r := (&app{}).describe(&driver.Error{Class: driver.ErrNoSpace, Op: "copy", Object: "x", Next: "free some"}); strings.Contains(r.Next, "prune") {
		t.Errorf("a full guest's disk: %+v", r)
	}
}
