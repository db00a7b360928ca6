// Package imageref reads references to images, as manifests and the command line have them: of a registry, or of a file
// or folder. It judges text alone: nothing is opened or asked for. Whoever needs to know what a reference names asks it,
// so that a manifest is never valid and its image a name that nothing can read.
package imageref

import (
	"path"
	"strings"

	"github.com/distribution/reference"

	"microagent/schema/pattern"
)

// Kind is what a reference's image is read from, as its prefix says.
type Kind string

const (
	Registry      Kind = ""
	OCI           Kind = "oci"            // a folder with an OCI layout
	OCIArchive    Kind = "oci-archive"    // a tar of one
	DockerArchive Kind = "docker-archive" // what docker save writes
	RootFS        Kind = "rootfs"         // a tar of a root file system
)

var files = []Kind{OCI, OCIArchive, DockerArchive, RootFS}

// Reference is a reference that was read. References are equal when they are the same text in its full form.
type Reference struct {
	Kind Kind
	// Name is the full form, and reads as this reference again: "docker.io/library/alpine:latest", "oci:dir:tag". Paths
	// stay relative.
	Name string
	// Path is that of a file source, cleaned.
	Path string
	// Tag is which image of a file source is meant: a name that it has there, docker's full form of it for a
	// DockerArchive. "" is the only one.
	Tag string
	// Host is that of a Registry reference: "docker.io".
	Host string
	// Digest is that of the manifest or index, where one is named: "sha256:...".
	Digest string
}

// Error says why a text is no reference.
type Error struct {
	Why   string // a predicate of the text: "names no file"
	Write string // what to write instead
}

func (e *Error) Error() string { return "it " + e.Why }

// Parse reads a reference as its user wrote it. Errors are *Error.
func Parse(text string) (Reference, error) {
	for _, k := range files {
		if rest, ok := strings.CutPrefix(text, string(k)+":"); ok {
			return parseFile(k, rest)
		}
	}
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return Reference{}, explain(text)
	}
	r := Reference{Host: reference.Domain(named)}
	if err := capitalHost(text, r.Host); err != nil {
		return Reference{}, err
	}
	if d, ok := named.(reference.Digested); ok {
		if r.Digest = d.Digest().String(); !IsDigest(r.Digest) {
			return Reference{}, errDigest
		}
	}
	r.Name = reference.TagNameOnly(named).String()
	return r, nil
}

// parseFile reads what follows a prefix. A path ends at the first colon, as for other tools: names hold slashes and
// colons themselves. Only a RootFS, which has no name, may hold colons in its path.
func parseFile(k Kind, rest string) (Reference, error) {
	r := Reference{Kind: k, Path: rest}
	switch k {
	case OCI, OCIArchive:
		rest, r.Digest = cutDigest(rest)
		var tagged bool
		r.Path, r.Tag, tagged = strings.Cut(rest, ":")
		switch {
		case tagged && r.Tag == "":
			return Reference{}, &Error{"has nothing after its colon", "write the tag, or leave the colon out: " + string(k) + ":" + r.Path}
		case tagged && strings.HasSuffix(path.Clean(r.Path), "@sha256"):
			return Reference{}, errDigest
		}
	case DockerArchive:
		r.Path, r.Tag, _ = strings.Cut(rest, ":")
	}
	if r.Path == "" || strings.ContainsRune(rest, 0) {
		return Reference{}, &Error{"names no file", "write a path after " + string(k) + ":"}
	}
	if k == DockerArchive && r.Tag != "" {
		named, err := reference.ParseNormalizedNamed(r.Tag)
		if err != nil {
			return Reference{}, explain(r.Tag)
		}
		r.Tag = reference.TagNameOnly(named).String()
	}
	r.Path = path.Clean(r.Path)
	r.Name = r.At(r.Path)
	return r, nil
}

// At is the full form of a file source's reference with another path.
func (r Reference) At(p string) string {
	name := string(r.Kind) + ":" + p
	if r.Tag != "" {
		name += ":" + r.Tag
	}
	if r.Digest != "" {
		name += "@" + r.Digest
	}
	return name
}

// Full gives a name of docker's kind with the host and tag that it has by default, ok false when it is none.
func Full(name string) (full string, ok bool) {
	named, err := reference.ParseNormalizedNamed(name)
	if err != nil {
		return "", false
	}
	return reference.TagNameOnly(named).String(), true
}

// TagOf is the tag that a name of docker's kind ends in, "" for none.
func TagOf(name string) string {
	if named, err := reference.ParseNormalizedNamed(name); err == nil {
		if t, ok := named.(reference.Tagged); ok {
			return t.Tag()
		}
	}
	return ""
}

// Path is the file or folder that an image names; ok is false of an image of a registry, and of what is no reference.
func Path(text string) (file string, ok bool) {
	r, err := Parse(text)
	return r.Path, err == nil && r.Kind != Registry
}

var (
	sha256Digest = pattern.Of(`^sha256:[0-9a-f]{64}$`)
	errDigest    = &Error{"has a digest that is not sha256: and 64 hexadecimal digits", "write the whole digest, or a tag instead of it"}
)

// IsDigest says whether a text is a digest of the one kind that is supported.
func IsDigest(text string) bool { return sha256Digest().MatchString(text) }

func cutDigest(text string) (rest, digest string) {
	if i := strings.LastIndexByte(text, '@'); i >= 0 && IsDigest(text[i+1:]) {
		return text[:i], text[i+1:]
	}
	return text, ""
}
