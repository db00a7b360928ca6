package control

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// WriteLoss keeps what the newest end cost that nobody asked for. Only who has the lease of the root file system, or the
// workspace's lock while no supervisor runs, may.
func WriteLoss(folder layout.Workspace, l driver.Loss) error {
	return layout.WriteJSON(folder.Loss(), l)
}

// ReadLoss gives what WriteLoss kept, nil for nothing, and whether it was shown.
func ReadLoss(folder layout.Workspace) (l *driver.Loss, shown bool, err error) {
	var kept driver.Loss
	err = layout.ReadJSON(folder.Loss(), &kept)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	seen, err := os.ReadFile(folder.LossShown())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return &kept, strings.TrimSpace(string(seen)) == kept.Run, err
}

// NoteShown says that the loss of a run was shown.
func NoteShown(folder layout.Workspace, run string) error {
	return os.WriteFile(folder.LossShown(), []byte(run+"\n"), 0o600)
}
