package volume

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"microagent/runtime/disk/ext4/super"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/quantity"
)

// uuid is that of the file system on an image.
func uuid(image io.ReaderAt) (string, error) {
	sb, err := super.Read(image)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(sb.UUID[:]), nil
}

// changed says why an image is not the one that its record is of, "" when it is. A larger one is: a grow that was killed
// before it was noted leaves that.
func changed(r *record, image string, size int64) string {
	f, err := layout.Open(image)
	if err != nil {
		return changedSize(r, size)
	}
	defer f.Close()
	return changedOn(r, f, size)
}

func changedSize(r *record, size int64) string {
	if size < r.Size {
		return fmt.Sprintf("its image has %s, and had %s when it was last changed by a command", quantity.Size(size), quantity.Size(r.Size))
	}
	return ""
}

// changedOn is changed of an image that is open.
func changedOn(r *record, image io.ReaderAt, size int64) string {
	if why := changedSize(r, size); why != "" || r.UUID == "" {
		return why
	}
	switch got, err := uuid(image); {
	case errors.Is(err, super.ErrNone):
		return "its image holds no ext4 file system any more"
	case err != nil: // not to be read, or damaged, which is told to whoever attaches it
		return ""
	case got != r.UUID:
		return fmt.Sprintf("its image holds another file system, %s and not %s: it was formatted anew, or is another file", dashed(got), dashed(r.UUID))
	}
	return ""
}

// dashed is an identity as other tools show it, such as blkid(8).
func dashed(id string) string {
	if len(id) != 32 {
		return id
	}
	return id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
}

// Changed refuses a volume whose image is not the one that its record is of.
func Changed(state layout.State, op, name string) error {
	var r record
	if err := layout.ReadRecord(state.VolumeRecord(name), kind, name, &r); err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	info, err := os.Stat(state.VolumeImage(name))
	if err != nil {
		return fmt.Errorf("%s %s: %w", op, name, err)
	}
	return r.refuse(op, changed(&r, state.VolumeImage(name), info.Size()))
}

func (r *record) refuse(op, why string) error {
	if why == "" {
		return nil
	}
	return &driver.Error{Class: driver.ErrRefused, Op: op, Object: r.Name, Err: errors.New("it has drifted: " + why),
		Next: "put its image back, or take it as it is: " + adopt(r.Name, r.Project)}
}

// adopt is the advice to take a volume as it is, for a project or for none.
func adopt(name, project string) string {
	command := "microagent volume adopt " + name
	if project != "" {
		command += " --project " + project
	}
	return command
}

// learn notes the file system's identity in a record that has none. A volume that a guest just formats has none to note.
func (r *record) learn(image string) {
	if r.UUID != "" {
		return
	}
	f, err := layout.Open(image)
	if err != nil {
		return
	}
	defer f.Close()
	r.learnOf(f)
}

// learnOf is learn of an image that is open.
func (r *record) learnOf(image io.ReaderAt) {
	if r.UUID != "" {
		return
	}
	if id, err := uuid(image); err == nil {
		r.UUID = id
	}
}
