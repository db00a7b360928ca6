package disk

import (
	"context"
	"errors"

	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
)

// bundleDraft is the disk of a bundle that is finished but for its name.
type bundleDraft struct {
	file   *target.FileDraft // nil where the disk has its name already
	key    string
	digest driver.BundleDigest
}

// DraftBundle is DigestBundle that makes the disk while it reads, where the draft of one can't be left behind. What
// stands in the way of the draft alone, such as a full disk, is left to Bundle.
func (d *Disks) DraftBundle(ctx context.Context, src driver.BundleSource, known *driver.Fingerprint) (driver.BundleDigest, error) {
	return d.digest(ctx, src, known, func(s *source) (driver.BundleDigest, error) {
		if draft, err := d.draft(ctx, s); err == nil {
			d.keep(draft)
			return draft.digest, nil
		}
		return s.read(ctx, newEmptyTree(), nil)
	})
}

func (d *Disks) draft(ctx context.Context, s *source) (*bundleDraft, error) {
	file, err := target.File(d.state.CachedDisk("draft")).Traceless(0o400)
	if err != nil {
		return nil, err
	}
	b := &bundleDraft{file: file}
	b.key, err = fillDraft(file, "make bundle", s.src.Path, build.Options{}, func(into *build.Builder) (string, error) {
		b.digest, err = s.read(ctx, into, nil)
		return bundleKeyOf(b.digest.Fingerprint.Digest), err
	})
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return b, nil
}

// keep holds a draft for Bundle; of a disk that is there, what was read.
func (d *Disks) keep(b *bundleDraft) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, err := d.find(b.key); err == nil || d.drafts[b.key] != nil {
		b.close()
		b.file = nil
	}
	if d.drafts[b.key] != nil {
		return
	}
	if d.drafts == nil {
		d.drafts = map[string]*bundleDraft{}
	}
	d.drafts[b.key] = b
}

func (b *bundleDraft) close() {
	if b.file != nil {
		_ = b.file.Close()
	}
}

// takeDraft publishes the draft of a digest, if there is one.
func (d *Disks) takeDraft(src driver.BundleSource, digest string) (image driver.DiskImage, read driver.BundleDigest, ok bool) {
	const op = "make bundle"
	key := bundleKeyOf(digest)
	d.mu.Lock()
	b := d.drafts[key]
	delete(d.drafts, key)
	d.mu.Unlock()
	if b == nil {
		return image, read, false
	}
	defer b.close()
	err := d.prepare(op, src.Path)
	switch {
	case err != nil:
	case b.file == nil:
		image, err = d.find(key)
	default:
		image, err = d.publish(op, src.Path, b.file, key)
	}
	return image, b.digest, err == nil
}

// DropDrafts forgets the drafts that no Bundle has taken.
func (d *Disks) DropDrafts() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.drafts {
		b.close()
	}
	d.drafts = nil
}
