package image

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	dockerref "github.com/distribution/reference"

	"microagent/runtime/driver"
)

type kind string

const (
	kindRegistry      kind = ""
	kindOCI           kind = "oci"
	kindOCIArchive    kind = "oci-archive"
	kindDockerArchive kind = "docker-archive"
	kindRootFS        kind = "rootfs"
)

// reference is a reference that was read.
type reference struct {
	kind   kind
	name   string // normalised; paths stay relative
	path   string // of a file source
	tag    string // of a file source: a tag, or docker's reference; "" takes the only image
	host   string // of a registry reference: "docker.io"
	digest string // of a registry reference that names one
}

// parse reads a reference as its user wrote it.
func parse(text string) (reference, error) {
	for _, k := range []kind{kindOCI, kindOCIArchive, kindDockerArchive, kindRootFS} {
		if rest, ok := strings.CutPrefix(text, string(k)+":"); ok {
			return parseFile(k, rest)
		}
	}
	named, err := dockerref.ParseNormalizedNamed(text)
	if err != nil {
		return reference{}, err
	}
	r := reference{host: dockerref.Domain(named)}
	if d, ok := named.(dockerref.Digested); ok {
		r.digest = d.Digest().String()
		if err := validDigest(r.digest); err != nil {
			return reference{}, err
		}
	}
	r.name = dockerref.TagNameOnly(named).String()
	return r, nil
}

func parseFile(k kind, rest string) (reference, error) {
	r := reference{kind: k, path: rest}
	switch k {
	case kindOCI, kindOCIArchive:
		if rest != "" {
			rest = path.Clean(rest)
		}
		r.path = rest
		if i := strings.LastIndexByte(rest, ':'); i >= 0 && !strings.Contains(rest[i:], "/") {
			r.path, r.tag = rest[:i], rest[i+1:]
			if r.tag == "" {
				return reference{}, errors.New("the tag after the colon is empty")
			}
		}
	case kindDockerArchive:
		r.path, r.tag, _ = strings.Cut(rest, ":")
	}
	if r.path == "" || strings.ContainsRune(rest, 0) {
		return reference{}, errors.New("it names no file")
	}
	if k == kindDockerArchive && r.tag != "" {
		named, err := dockerref.ParseNormalizedNamed(r.tag)
		if err != nil {
			return reference{}, err
		}
		r.tag = dockerref.TagNameOnly(named).String()
	}
	r.path = path.Clean(r.path)
	r.name = r.rename(r.path)
	return r, nil
}

// rename is the reference's name with another path.
func (r reference) rename(p string) string {
	name := string(r.kind) + ":" + p
	if r.tag != "" {
		name += ":" + r.tag
	}
	return name
}

// key is the name that an image has in the index. A file's path is absolute there, so that the images of two
// projects don't get into each other's way.
func (r reference) key(files driver.Files) string {
	if r.kind == kindRegistry {
		return r.name
	}
	p := r.path
	if files != nil {
		p = files.Resolve(p)
	} else if abs, err := filepath.Abs(p); err == nil {
		p = abs
	}
	return r.rename(p)
}

var sha256Digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// otherDigest is what digests of other algorithms look like, sha512 and blake3 of image-spec's among them.
var otherDigest = regexp.MustCompile(`^[a-z0-9]+([+._-][a-z0-9]+)*:[0-9a-f]{64,}$`)

// validDigest gives ErrUnsupported for a digest of another algorithm than sha256.
func validDigest(d string) error {
	if name, _, _ := strings.Cut(d, ":"); name != "sha256" && otherDigest.MatchString(d) {
		return fmt.Errorf("%w: %.24s... is a digest of %s", driver.ErrUnsupported, d, name)
	}
	if !sha256Digest.MatchString(d) {
		return fmt.Errorf("%q is not a sha256 digest", d)
	}
	return nil
}
