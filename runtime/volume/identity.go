package volume

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"microagent/runtime/disk/ext4/super"
	"microagent/schema/quantity"
)

// uuid is that of the file system on an image.
func uuid(image string) (string, error) {
	f, err := os.Open(image)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sb, err := super.Read(f)
	if err != nil {
		return "", err
	}
	return hex.EncodeToString(sb.UUID[:]), nil
}

// changed says why an image is not the one that its record is of, "" when it is. A larger one is: a grow that was killed
// before it was noted leaves that.
func changed(r *record, image string, size int64) string {
	if size < r.Size {
		return fmt.Sprintf("its image has %s, and had %s when it was last changed by a command", quantity.Size(size), quantity.Size(r.Size))
	}
	if r.UUID == "" {
		return ""
	}
	switch got, err := uuid(image); {
	case errors.Is(err, os.ErrPermission):
		return ""
	case err != nil:
		return "its image holds no ext4 file system any more"
	case got != r.UUID:
		return "its image holds another file system: it was formatted anew, or is another file"
	}
	return ""
}

// learn notes the file system's identity in a record that has none. A volume that a guest just formats has none to note.
func (r *record) learn(image string) {
	if id, err := uuid(image); err == nil && r.UUID == "" {
		r.UUID = id
	}
}
