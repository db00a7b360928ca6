package drivertest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"sync"

	"microagent/runtime/driver"
)

// FakeDisks is driver.Disks in memory: a bundle's digest is that of its source file, and a disk is its key. The zero
// value is empty.
type FakeDisks struct {
	mu    sync.Mutex
	disks map[string]driver.DiskImage // by key
	Built []string                    // the keys that were made, in order
}

var _ driver.Disks = (*FakeDisks)(nil)

func fakeDiskError(class error, op, object string) error {
	return &driver.Error{Class: class, Op: op, Object: object, Next: "look at the test"}
}

// DigestBundle reads a single file.
func (f *FakeDisks) DigestBundle(_ context.Context, src driver.BundleSource, _ *driver.Fingerprint) (driver.BundleDigest, error) {
	file, err := src.Files.Open(src.Path)
	if errors.Is(err, os.ErrNotExist) {
		return driver.BundleDigest{}, fakeDiskError(driver.ErrNotFound, "read bundle", src.Path)
	}
	if err != nil {
		return driver.BundleDigest{}, err
	}
	defer file.Close()
	h := sha256.New()
	n, err := io.Copy(h, file)
	if err != nil {
		return driver.BundleDigest{}, err
	}
	digest := "sha256:" + hex.EncodeToString(h.Sum(nil))
	return driver.BundleDigest{Fingerprint: driver.Fingerprint{Digest: digest}, Entries: 1, Bytes: n}, nil
}

// DraftBundle makes nothing.
func (f *FakeDisks) DraftBundle(ctx context.Context, src driver.BundleSource, known *driver.Fingerprint) (driver.BundleDigest, error) {
	return f.DigestBundle(ctx, src, known)
}

// DropDrafts has nothing to forget.
func (f *FakeDisks) DropDrafts() {}

func (f *FakeDisks) make(key string, size int64) driver.DiskImage {
	f.mu.Lock()
	defer f.mu.Unlock()
	if d, ok := f.disks[key]; ok {
		return d
	}
	if f.disks == nil {
		f.disks = map[string]driver.DiskImage{}
	}
	d := driver.DiskImage{Key: key, Path: "/fake/" + key, Size: size}
	f.disks[key] = d
	f.Built = append(f.Built, key)
	return d
}

func (f *FakeDisks) find(op, key string) (driver.DiskImage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, ok := f.disks[key]
	if !ok {
		return d, fakeDiskError(driver.ErrNotFound, op, key)
	}
	return d, nil
}

// Bundle makes the disk of a single file.
func (f *FakeDisks) Bundle(ctx context.Context, src driver.BundleSource, want string, _ driver.Progress) (driver.DiskImage, driver.BundleDigest, error) {
	digest, err := f.DigestBundle(ctx, src, nil)
	if err != nil {
		return driver.DiskImage{}, digest, err
	}
	if want != "" && want != digest.Fingerprint.Digest {
		return driver.DiskImage{}, digest, fakeDiskError(driver.ErrStale, "make bundle", src.Path)
	}
	return f.make("bundle-"+digest.Fingerprint.Digest, digest.Bytes), digest, nil
}

// FindBundle finds what Bundle made.
func (f *FakeDisks) FindBundle(_ context.Context, digest string) (driver.DiskImage, error) {
	return f.find("find bundle", "bundle-"+digest)
}

// RootFS makes a key of image and size.
func (f *FakeDisks) RootFS(_ context.Context, spec driver.RootFSSpec, _ driver.Progress) (driver.DiskImage, error) {
	return f.make("rootfs-"+spec.ImageDigest, spec.Size), nil
}

// FindRootFS finds what RootFS made.
func (f *FakeDisks) FindRootFS(_ context.Context, spec driver.RootFSSpec) (driver.DiskImage, error) {
	return f.find("find root file system", "rootfs-"+spec.ImageDigest)
}

// Place succeeds when the key is there.
func (f *FakeDisks) Place(_ context.Context, key, _ string) error {
	_, err := f.find("place disk", key)
	return err
}

// Empty succeeds.
func (f *FakeDisks) Empty(context.Context, driver.EmptySpec, string) error { return nil }

// Prune forgets what is not kept.
func (f *FakeDisks) Prune(_ context.Context, keep map[string]bool, dry bool) (int64, []string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var freed int64
	var removed []string
	for key, d := range f.disks {
		if keep[key] {
			continue
		}
		freed += d.Size
		removed = append(removed, key)
		if !dry {
			delete(f.disks, key)
		}
	}
	return freed, removed, nil
}
