package initd

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
)

// machineID gives a root file system a machine-id(5) of its own, where its image has one: workspaces of one image, and guests
// that are copies of another, would share it. One that is fresh was mounted by no guest before. What an image has not is left
// out, and what a guest has stays.
type machineID struct {
	path  string
	fresh bool
}

// machineIDSize is that of a machine-id, with its line's end; what is shorter, or says uninitialized, stands for one to come.
const machineIDSize = 33

func (m machineID) Do() error {
	info, err := os.Lstat(m.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || !info.Mode().IsRegular() || !m.fresh && info.Size() >= machineIDSize {
		return err
	}
	return os.WriteFile(m.path, []byte(newMachineID()+"\n"), 0o444)
}

func (m machineID) String() string { return "file " + m.path }

// newMachineID is a random UUID without its dashes, as systemd makes them.
func newMachineID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // it fills it, or ends the program
	id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
	return hex.EncodeToString(id[:])
}
