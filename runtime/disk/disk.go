// Package disk makes ext4 disks out of content and keeps them in a cache by content key.
//
// The same content gives the same key and the same bytes, wherever and whenever it is made. A disk appears
// under its name whole or not at all, is never overwritten, and passes e2fsck -fn. Finding and digesting write
// nothing. Cached disks are held by flock while they are copied or attached; Prune leaves those alone.
// The commands wire this package to driver.Disks.
package disk

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/pattern"
)

// LayerSource opens the layers of an image; driver.Images is one.
type LayerSource interface {
	Layers(ctx context.Context, digest string) (driver.Layers, error)
}

// Disks implements driver.Disks on a state directory.
type Disks struct {
	state  layout.State
	images LayerSource

	mu     sync.Mutex
	drafts map[string]*bundleDraft // by key
}

var _ driver.Disks = (*Disks)(nil)

// New gives the disks of a state directory. The directory must have been prepared before anything is made.
func New(state layout.State, images LayerSource) *Disks {
	return &Disks{state: state, images: images}
}

// Key prefixes. Their version rises with anything that changes the bytes of a disk for the same input. Records hold
// keys of earlier versions, and such disks stay until nobody names them.
const (
	bundleKey = "bundle-v1-"
	rootfsKey = "rootfs-v2-"
)

// Epoch is the time of what has none of its own: file systems, and all that lies in a directory bundle.
var Epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// deriveIdentity gives a file system UUID and hash seed that depend on the key alone.
func deriveIdentity(key string) (uuid, hashSeed [16]byte) {
	sum := sha256.Sum256([]byte("microagent file system " + key))
	copy(uuid[:], sum[:16])
	copy(hashSeed[:], sum[16:])
	uuid[6] = uuid[6]&0x0F | 0x80 // version 8: made up by its own rules (RFC 9562)
	uuid[8] = uuid[8]&0x3F | 0x80
	return uuid, hashSeed
}

// Empty publishes a new empty file system with a journal at path.
func (d *Disks) Empty(ctx context.Context, spec driver.EmptySpec, path string) error {
	const op = "create file system"
	opt := build.Options{Size: spec.Size, Journal: true, Label: spec.Label, Time: time.Now()}
	_, _ = rand.Read(opt.UUID[:])
	_, _ = rand.Read(opt.HashSeed[:])
	opt.UUID[6] = opt.UUID[6]&0x0F | 0x40 // version 4: random
	opt.UUID[8] = opt.UUID[8]&0x3F | 0x80
	if err := ctx.Err(); err != nil {
		return err
	}
	draft, err := target.At(path).Draft(0o600)
	if err != nil {
		return wrap(op, path, err)
	}
	defer draft.Close()
	b, err := build.New(draft, opt)
	if err != nil {
		return sizeError(op, path, spec.Size, err)
	}
	defer b.Close()
	if _, err := b.Finish(); err != nil {
		return sizeError(op, path, spec.Size, err)
	}
	return appear(op, path, draft)
}

// appear makes a draft appear; a taken name is ErrExists.
func appear(op, path string, draft target.Draft) error {
	if err := draft.Publish(); err != nil {
		return wrap(op, path, err)
	}
	return nil
}

// find is a cached disk.
func (d *Disks) find(key string) (driver.DiskImage, error) {
	path := d.state.CachedDisk(key)
	st, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return driver.DiskImage{}, &driver.Error{Class: driver.ErrNotFound, Op: "find disk", Object: key}
	}
	if err != nil {
		return driver.DiskImage{}, err
	}
	return driver.DiskImage{Key: key, Path: path, Size: st.Size(), Allocated: layout.Allocated(st)}, nil
}

// make builds a disk with fill and publishes it under the key that fill gives. A hit at
// publish is success: whoever was first made the same bytes.
func (d *Disks) make(op, object string, opt build.Options, fill func(b *build.Builder) (key string, err error)) (driver.DiskImage, error) {
	if err := d.prepare(op, object); err != nil {
		return driver.DiskImage{}, err
	}
	// The draft's own name is never used: the key may be known only when all was read.
	draft, err := target.File(d.state.CachedDisk("draft")).Nameless(0o400)
	if err != nil {
		return driver.DiskImage{}, wrap(op, object, err)
	}
	defer draft.Close()
	key, err := fillDraft(draft, op, object, opt, fill)
	if err != nil {
		return driver.DiskImage{}, err
	}
	return d.publish(op, object, draft, key)
}

// prepare makes the cache's folder.
func (d *Disks) prepare(op, object string) error {
	if err := os.MkdirAll(d.state.DiskCache(), 0o700); err != nil {
		return wrap(op, object, err)
	}
	return nil
}

// fillDraft builds a disk with fill into draft and gives the key that fill gave.
func fillDraft(draft *target.FileDraft, op, object string, opt build.Options, fill func(b *build.Builder) (key string, err error)) (string, error) {
	opt.Time = Epoch
	b, err := build.New(draft, opt)
	if err != nil {
		return "", sizeError(op, object, opt.Size, err)
	}
	defer b.Close()
	key, err := fill(b)
	if err != nil {
		return "", err
	}
	uuid, seed := deriveIdentity(key)
	b.Identify(uuid, seed)
	if _, err := b.Finish(); err != nil {
		return "", sizeError(op, object, opt.Size, err)
	}
	return key, nil
}

// publish makes a disk of the cache out of draft.
func (d *Disks) publish(op, object string, draft *target.FileDraft, key string) (driver.DiskImage, error) {
	if err := draft.PublishAs(d.state.CachedDisk(key)); err != nil && !errors.Is(err, fs.ErrExist) {
		return driver.DiskImage{}, wrap(op, object, err)
	}
	return d.find(key)
}

// keyOf makes a key out of what a disk depends on.
func keyOf(prefix string, parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		fmt.Fprintf(h, "%d:%s\n", len(p), p)
	}
	return prefix + hex.EncodeToString(h.Sum(nil))
}

var keyForm = pattern.Of(`^(bundle|rootfs)-v[1-9][0-9]?-[0-9a-f]{64}$`)

// validKey says whether key, of whichever version, can be a file name in the cache.
func validKey(key string) bool { return keyForm().MatchString(key) }
