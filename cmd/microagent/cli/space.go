package cli

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"

	"microagent/cmd/microagent/cli/term"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// fuller adds to a report that something ran out of space what is free there.
func (r *report) fuller(err error) {
	if !errors.Is(err, syscall.ENOSPC) {
		return
	}
	if r.Next == "" {
		r.Code, r.Next = "no_space", driver.NextNoSpace
	}
	if at, ok := errors.AsType[*fs.PathError](err); ok && filepath.IsAbs(at.Path) {
		if free := layout.Free(at.Path); free >= 0 {
			r.Message += ", where " + term.Size(free) + " are free now"
		}
	}
}
