package driver

import "context"

// BundleSource is a directory or a tar that becomes a read-only disk.
type BundleSource struct {
	Files   Files
	Path    string   // a directory, or .tar .tar.gz .tgz .tar.zst by content, not by name
	Exclude []string // names (path.Match on any single element) left out of a directory; .git always is
}

// Fingerprint remembers a digest together with the stat results it was computed from, so that an unchanged
// source need not be read again. Stat is opaque; Taken is when the source was read, in Unix nanoseconds.
type Fingerprint struct {
	Digest string `json:"digest"`
	Stat   string `json:"stat"`
	Taken  int64  `json:"taken"`
}

// BundleDigest is what a source would become.
type BundleDigest struct {
	Fingerprint Fingerprint
	Entries     int
	Bytes       int64
}

// DiskImage is a finished disk in the cache.
type DiskImage struct {
	Key       string `json:"key"`       // names input and format: "rootfs-v2-<hex>", "bundle-v1-<hex>"
	Path      string `json:"path"`      // of the cached file, read-only
	Size      int64  `json:"size"`      // of the block device
	Allocated int64  `json:"allocated"` // on the host
}

// RootFSSpec asks for the root file system of an image.
type RootFSSpec struct {
	ImageDigest string
	Size        int64
}

// Disks makes ext4 disks out of content and keeps them by content key. Every disk passes e2fsck -fn.
type Disks interface {
	// DigestBundle reads the source and says what it would become; known short-cuts an unchanged one.
	DigestBundle(ctx context.Context, src BundleSource, known *Fingerprint) (BundleDigest, error)
	// DraftBundle is DigestBundle for who means to make the disk: it may make it while it reads, so that Bundle with that
	// digest need not read again. Nothing is seen of it before, and nothing is left of it after DropDrafts or the end
	// of the process, however that comes.
	DraftBundle(ctx context.Context, src BundleSource, known *Fingerprint) (BundleDigest, error)
	// DropDrafts forgets what DraftBundle made and Bundle did not ask for.
	DropDrafts()
	// Bundle makes the disk, unless it is there. Its content is what the source holds, or what DraftBundle read. ErrStale when the source's digest is not want
	// (want "" takes what is there).
	Bundle(ctx context.Context, src BundleSource, want string, p Progress) (DiskImage, BundleDigest, error)
	// FindBundle is the disk for a bundle digest, ErrNotFound when it must be made.
	FindBundle(ctx context.Context, digest string) (DiskImage, error)
	// RootFS makes the disk of an image that is in the store, unless it is there.
	RootFS(ctx context.Context, spec RootFSSpec, p Progress) (DiskImage, error)
	// FindRootFS is the disk for spec, ErrNotFound when it must be made.
	FindRootFS(ctx context.Context, spec RootFSSpec) (DiskImage, error)
	// Place publishes a private writable copy of a cached disk at path, whole or not at all; the name is durable once the
	// caller has synced its folder. ErrExists when path exists: nothing is ever overwritten.
	Place(ctx context.Context, key, path string) error
	// Empty publishes a new empty writable file system at path. ErrExists as for Place.
	Empty(ctx context.Context, spec EmptySpec, path string) error
	// Prune removes cached disks whose key is not in keep and that nobody uses; bytes freed.
	Prune(ctx context.Context, keep map[string]bool, dry bool) (freed int64, removed []string, err error)
}

// EmptySpec describes an empty file system. There is no lost+found in its root.
type EmptySpec struct {
	Size  int64
	Label string
}
