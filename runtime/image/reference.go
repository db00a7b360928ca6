package image

import (
	"fmt"
	"path/filepath"
	"strings"

	"microagent/runtime/driver"
	"microagent/schema/imageref"
	"microagent/schema/pattern"
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

// otherDigest is what digests of other algorithms look like, sha512 and blake3 of image-spec's among them.
var otherDigest = pattern.Of(`^[a-z0-9]+([+._-][a-z0-9]+)*:[0-9a-f]{64,}$`)

// validDigest gives ErrUnsupported for a digest of another algorithm than sha256.
func validDigest(d string) error {
	if name, _, _ := strings.Cut(d, ":"); name != "sha256" && otherDigest().MatchString(d) {
		return fmt.Errorf("%w: %.24s... is a digest of %s", driver.ErrUnsupported, d, name)
	}
	if !imageref.IsDigest(d) {
		return fmt.Errorf("%q is not a sha256 digest", d)
	}
	return nil
}
