package driver

import (
	"context"
	"io"
)

// ImageSource names an image as its user wrote it.
type ImageSource struct {
	// Ref is a registry reference ("alpine", "docker.io/library/alpine:3.20", "...@sha256:..."), or
	// "oci:DIR[:NAME][@DIGEST]", "oci-archive:FILE[:NAME][@DIGEST]", "docker-archive:FILE[:NAME]", "rootfs:FILE".
	Ref string
	// Files opens the paths in Ref; unused for registry references.
	Files Files
}

// Image is an image of the wanted platform.
type Image struct {
	Ref    string      `json:"ref"`    // normalised: what `image list` shows, but for paths, which are absolute there
	Digest string      `json:"digest"` // of the platform's manifest
	Size   int64       `json:"size"`   // of its blobs
	From   string      `json:"from"`   // "store", "registry", "file"
	Config ImageConfig `json:"config"` // empty when only the digest is known (From "registry")
}

// Images is the content store and the ways into it.
type Images interface {
	// Find answers from the store, or for a file source from the file (From is "file" then, also when the
	// store has the image: Get tells). It never asks a registry and never writes. ErrNotFound: not here
	// yet; ErrInvalid: the reference can't be read, or its file is not there.
	Find(ctx context.Context, src ImageSource) (Image, error)
	// Head asks the registry for the digest only. ErrUnavailable when it does not answer,
	// ErrNotFound when it does and has no such image. File sources answer as Find.
	Head(ctx context.Context, src ImageSource) (Image, error)
	// Pull brings the image into the store, unless it is there, and names it. A name that is there is not
	// looked up again: ask Head, and pull what it says. With want set, another digest is ErrStale; a
	// registry is asked for want itself, whatever the tag stands for now. Every blob is verified; what is torn or corrupt never stays.
	Pull(ctx context.Context, src ImageSource, want string, p Progress) (Image, error)
	// Get is an image of the store by its digest.
	Get(ctx context.Context, digest string) (Image, error)
	// Layers opens the layers of an image of the store.
	Layers(ctx context.Context, digest string) (Layers, error)
	List(ctx context.Context) ([]Image, error)
	// Remove forgets a name as List gives it; blobs that no name holds go with it. ErrNotFound
	// when there is no such name.
	Remove(ctx context.Context, ref string) error
	// Use keeps all that is in the store there until release, which is to be called soon: Prune takes nothing meanwhile.
	Use(ctx context.Context) (release func(), err error)
	// Prune forgets the images whose digests keep does not name, with what only they held, and gives the bytes on disk and
	// the names. Keep is asked while nobody uses the store, and nobody begins to. ErrLocked while somebody does. With dry
	// nothing is removed, and nobody is waited for.
	Prune(ctx context.Context, keep func() (map[string]bool, error), dry bool) (freed int64, names []string, err error)
}

// Layers are an image's layers, lowest first.
type Layers interface {
	Len() int
	// Whiteouts says whether names like whiteouts in layer i hide what lower layers have. In a root file system they are
	// the names of files.
	Whiteouts(i int) bool
	// Open gives layer i as an uncompressed tar stream; several may be open and read at a time. Its digest and diff id are checked on the way:
	// the reader returns ErrCorrupt in the place of io.EOF when they are not right.
	Open(ctx context.Context, i int) (io.ReadCloser, error)
	Close() error
}
