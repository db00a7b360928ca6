package image

import (
	"fmt"
	"path/filepath"

	"microagent/runtime/driver"
	"microagent/schema/imageref"
)

// keyOf is the name that an image has in the index. A file's path is absolute there, so that the images of two
// projects don't get into each other's way.
func keyOf(r imageref.Reference, files driver.Files) string {
	if r.Kind == imageref.Registry {
		return r.Name
	}
	p := r.Path
	if files != nil {
		p = files.Resolve(p)
	} else if abs, err := filepath.Abs(p); err == nil {
		p = abs
	}
	return r.At(p)
}

func validDigest(d string) error {
	if !imageref.IsDigest(d) {
		return fmt.Errorf("%q is not a sha256 digest", d)
	}
	return nil
}
