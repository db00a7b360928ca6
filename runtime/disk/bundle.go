package disk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/driver"
)

// A bundle's digest is SHA-256 over one of these lines and what the bundle says: the normalised tree of a
// directory, or a tar's uncompressed bytes. A change of the normal form changes the line.
const (
	directoryForm = "microagent bundle directory v1\n"
	tarForm       = "microagent bundle tar v1\n"
)

// margin is how much older than its reading a source must be before its stat results say that it is unchanged:
// the grain of time stamps and the skew between clocks of host and file server lie below it.
const margin = 2 * time.Second

// bundleKeyOf is the key of a bundle's disk, "" when digest is none.
func bundleKeyOf(digest string) string {
	hexes, ok := strings.CutPrefix(digest, "sha256:")
	if key := bundleKey + hexes; ok && validKey(key) {
		return key
	}
	return ""
}

// FindBundle is the cached disk for a bundle's digest.
func (d *Disks) FindBundle(_ context.Context, digest string) (driver.DiskImage, error) {
	key := bundleKeyOf(digest)
	if key == "" {
		return driver.DiskImage{}, &driver.Error{Class: driver.ErrInvalid, Op: "find bundle", Object: digest, Err: fmt.Errorf("not a digest")}
	}
	return d.find(key)
}

// DigestBundle reads the source, or only looks at its files' stat results when known tells enough.
func (d *Disks) DigestBundle(ctx context.Context, src driver.BundleSource, known *driver.Fingerprint) (driver.BundleDigest, error) {
	return d.digest(ctx, src, known, func(s *source) (driver.BundleDigest, error) { return s.read(ctx, newEmptyTree(), nil) })
}

// digest is that of a source, by read where its files' stat results don't tell.
func (d *Disks) digest(ctx context.Context, src driver.BundleSource, known *driver.Fingerprint, read func(*source) (driver.BundleDigest, error)) (driver.BundleDigest, error) {
	s, err := openSource(src, d.state.Dir)
	if err != nil {
		return driver.BundleDigest{}, sourceError(src, err)
	}
	defer s.close()
	if known != nil {
		digest, ok, err := s.checkUnchanged(ctx, *known)
		if err != nil || ok {
			return digest, sourceError(src, err)
		}
	}
	digest, err := read(s)
	return digest, sourceError(src, err)
}

// Bundle makes the disk of a source. Where it is there already the source is only read, and where DraftBundle made it
// not even that.
func (d *Disks) Bundle(ctx context.Context, src driver.BundleSource, want string, p driver.Progress) (driver.DiskImage, driver.BundleDigest, error) {
	s, err := openSource(src, d.state.Dir)
	if err != nil {
		return driver.DiskImage{}, driver.BundleDigest{}, sourceError(src, err)
	}
	defer s.close()
	if have, digest, ok := d.takeDraft(src, want); ok {
		return have, digest, nil
	}
	stale := func(digest driver.BundleDigest) error {
		if want == "" || digest.Fingerprint.Digest == want {
			return nil
		}
		return &driver.Error{Class: driver.ErrStale, Op: "make bundle", Object: src.Files.Resolve(src.Path), Next: "make a new plan: microagent plan"}
	}
	_, missing := d.FindBundle(ctx, want)
	if want == "" || missing == nil {
		digest, err := s.read(ctx, newEmptyTree(), p)
		if err != nil {
			return driver.DiskImage{}, digest, sourceError(src, err)
		}
		if err := stale(digest); err != nil {
			return driver.DiskImage{}, digest, err
		}
		if have, err := d.FindBundle(ctx, digest.Fingerprint.Digest); err == nil {
			return have, digest, nil
		}
	}
	var digest driver.BundleDigest
	have, err := d.make("make bundle", src.Files.Resolve(src.Path), build.Options{}, func(b *build.Builder) (string, error) {
		var err error
		if digest, err = s.read(ctx, b, p); err != nil {
			return "", sourceError(src, err)
		}
		return bundleKeyOf(digest.Fingerprint.Digest), stale(digest)
	})
	return have, digest, err
}

// sourceError says which source was read.
func sourceError(src driver.BundleSource, err error) error {
	if err == nil {
		return nil
	}
	err = wrap("read bundle", src.Files.Resolve(src.Path), err)
	if e, ok := err.(*driver.Error); ok && driver.Next(err) == "" {
		switch {
		case errors.Is(err, driver.ErrCorrupt):
			e.Next = "pack it again, or get a whole copy of it"
		case errors.Is(err, fs.ErrNotExist):
			e.Next = "make it first, or correct the path"
		case errors.Is(err, errNoSource):
			e.Next = "name a folder, or a file with a tar in it"
		case errors.Is(err, driver.ErrInvalid):
			e.Next = "pack it again: a tar of files, folders and links below one folder"
		case errors.Is(err, unix.ELOOP):
			e.Next = "mend the symlinks, which lead in a circle, or name the folder itself"
		}
	}
	return err
}
