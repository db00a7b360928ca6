package disk

import (
	"context"
	"errors"
	"strconv"

	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/layer"
	"microagent/runtime/driver"
)

// denseInodes is the size up to which a root file system gets twice the usual number of inodes: trees of many
// small files are common there.
const denseInodes = 64 << 30

func rootFSKey(spec driver.RootFSSpec) string {
	return keyOf(rootfsKey, spec.ImageDigest, strconv.FormatInt(spec.Size, 10))
}

// FindRootFS is the cached disk for spec.
func (d *Disks) FindRootFS(_ context.Context, spec driver.RootFSSpec) (driver.DiskImage, error) {
	return d.find(rootFSKey(spec))
}

// RootFS applies the image's layers to a writable file system of the wanted size.
func (d *Disks) RootFS(ctx context.Context, spec driver.RootFSSpec, p driver.Progress) (driver.DiskImage, error) {
	const op = "make root file system"
	key := rootFSKey(spec)
	if have, err := d.find(key); err == nil {
		return have, nil
	}
	layers, err := d.images.Layers(ctx, spec.ImageDigest)
	if err != nil {
		return driver.DiskImage{}, err
	}
	defer layers.Close()
	opt := build.Options{Size: spec.Size, Journal: true}
	if spec.Size <= denseInodes {
		opt.BytesPerInode = 8192
	}
	return d.make(op, spec.ImageDigest, opt, func(b *build.Builder) (string, error) {
		if _, err := layer.Apply(ctx, b, layers, layer.Limits{}, p); err != nil {
			return "", layerError(op, spec.ImageDigest, err)
		}
		return key, nil
	})
}

// layerError is wrap for what a layer says. A layer that no file system can hold stays so however often it is read.
func layerError(op, object string, err error) error {
	wrapped := wrap(op, object, err)
	if e, ok := errors.AsType[*driver.Error](wrapped); ok && e.Next == "" && errors.Is(err, driver.ErrInvalid) {
		e.Next = "build the image again, or use another"
	}
	return wrapped
}
