package image

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/imageref"
)

// origin is where an image comes from.
type origin interface {
	// manifest finds the manifest of the platform.
	manifest(ctx context.Context) (manifest, error)
	// config gives the bytes of the image's config, verified.
	config(ctx context.Context, m manifest) ([]byte, error)
	// copy hands each of the wanted blobs to put, in any order; put may be called from several goroutines.
	copy(ctx context.Context, want []ocispec.Descriptor, put putFunc) error
	Close() error
}

type putFunc func(d ocispec.Descriptor, r io.Reader) error

// Pull brings an image into the store, unless it is there, and names it. With want set, a registry is asked for
// that very digest, so that a tag which moved on does no harm while the registry still has the image.
func (s *Store) Pull(ctx context.Context, src driver.ImageSource, want string, p driver.Progress) (driver.Image, error) {
	const op = "pull image"
	r, err := imageref.Parse(src.Ref)
	if err == nil && want != "" {
		err = validDigest(want)
	}
	if err != nil {
		return driver.Image{}, invalid(op, src.Ref, err)
	}
	explain := sourceError
	if r.Kind == imageref.Registry {
		explain = registryError
	}
	img, err := s.pull(ctx, r, src.Files, want, p)
	if err != nil {
		return driver.Image{}, explain(op, r, err)
	}
	img.Ref = r.Name
	return img, nil
}

func (s *Store) pull(ctx context.Context, r imageref.Reference, files driver.Files, want string, p driver.Progress) (driver.Image, error) {
	idx, err := s.readIndex()
	if err != nil {
		return driver.Image{}, err
	}
	key := keyOf(r, files)
	digest, known := idx.known(r, files)
	if r.Kind == imageref.Registry {
		digest, known = idx.Images[r.Name].Digest, true
	}
	if known && digest != "" && (want == "" || want == digest) {
		if img, err := s.stored(digest); err == nil {
			return img, nil
		}
	}
	o, err := s.open(ctx, r, files, want)
	if err != nil {
		return driver.Image{}, err
	}
	defer o.Close()
	taken := time.Now()
	m, err := s.wanted(ctx, r, o, want)
	if err != nil {
		return driver.Image{}, err
	}
	entry := named{Digest: m.digest, Source: sourceOf(r, files, m.digest, taken)}
	if img, err := s.stored(m.digest); err == nil && idx.Images[key].says(entry) {
		return img, nil
	}
	in, err := s.ingest(ctx, p)
	if err != nil {
		return driver.Image{}, err
	}
	defer in.unlock()
	if err := in.bring(ctx, r, o, m, p); err != nil {
		return driver.Image{}, err
	}
	img, err := s.stored(m.digest)
	if err != nil {
		return driver.Image{}, err
	}
	if err := in.name(r, key, entry); err != nil {
		return driver.Image{}, err
	}
	if r.Kind != imageref.Registry {
		if err := in.sweep(ctx); err != nil {
			return driver.Image{}, err
		}
	}
	return img, nil
}

func (s *Store) open(ctx context.Context, r imageref.Reference, files driver.Files, want string) (origin, error) {
	if r.Kind != imageref.Registry {
		return s.openFile(ctx, r, files)
	}
	if want != "" {
		if m, _, err := s.load(want); err == nil {
			return &remembered{registry: s.hosts.open(r, s.arch), m: m, blobs: s.blobs}, nil
		}
	}
	o := s.hosts.open(r, s.arch)
	o.want = want
	return o, nil
}

// wanted finds the manifest and checks that it is the one that was asked for, and for this platform.
func (s *Store) wanted(ctx context.Context, r imageref.Reference, o origin, want string) (manifest, error) {
	m, err := o.manifest(ctx)
	if err != nil {
		return manifest{}, err
	}
	if want != "" && m.digest != want {
		return manifest{}, staleError(r, want, m.digest)
	}
	config, err := o.config(ctx, m)
	if err != nil {
		return manifest{}, err
	}
	_, err = describe(m, config, s.arch)
	return m, err
}

func staleError(r imageref.Reference, want, now string) error {
	return &driver.Error{
		Class: driver.ErrStale, Op: "take", Object: r.Name,
		Err: fmt.Errorf("it is %s now, not %s", now, want), Next: "make a new plan: microagent plan",
	}
}

// bring copies what the store lacks of an image, the manifest last.
func (in *ingest) bring(ctx context.Context, r imageref.Reference, o origin, m manifest, p driver.Progress) error {
	if err := in.dropWrong(ctx, m); err != nil {
		return err
	}
	lack, err := in.missing(ctx, m.blobs())
	if err != nil {
		return err
	}
	var total int64
	for _, d := range lack {
		total += d.Size
	}
	if len(lack) > 0 {
		bar := &meter{what: r.Name, total: total, report: p}
		err := o.copy(ctx, lack, func(d ocispec.Descriptor, rd io.Reader) error {
			return in.put(ctx, d, bar.wrap(rd))
		})
		if err != nil {
			return err
		}
	}
	return in.put(ctx, ocispec.Descriptor{Digest: digest.Digest(m.digest), Size: int64(len(m.data))}, bytes.NewReader(m.data))
}

// sourceOf is what the index keeps of a file whose digest is dear to compute.
func sourceOf(r imageref.Reference, files driver.Files, digest string, taken time.Time) *driver.Fingerprint {
	if r.Kind == imageref.Registry || r.Kind == imageref.OCI {
		return nil
	}
	fi, err := files.Stat(r.Path)
	if err != nil {
		return nil
	}
	stat, changed := fingerprint(fi)
	if stat == "" || changed > taken.UnixNano() {
		return nil
	}
	return &driver.Fingerprint{Digest: digest, Stat: stat, Taken: taken.UnixNano()}
}

// Remove forgets a name and the blobs that only it held.
func (s *Store) Remove(ctx context.Context, ref string) error {
	const op = "remove image"
	r, err := imageref.Parse(ref)
	if err != nil {
		return invalid(op, ref, err)
	}
	in, err := s.ingest(ctx, nil)
	if err != nil {
		return storeError(op, r.Name, err)
	}
	defer in.unlock()
	idx, err := in.readIndex()
	if err != nil {
		return &driver.Error{Op: op, Object: r.Name, Err: err}
	}
	had := len(idx.Images)
	delete(idx.Images, r.Name)
	delete(idx.Images, keyOf(r, nil))
	if len(idx.Images) == had {
		return &driver.Error{Class: driver.ErrNotFound, Op: op, Object: ref, Err: errors.New("there is none of that name"), Next: "microagent image list"}
	}
	if err := layout.WriteJSON(in.indexPath(), idx); err != nil {
		return storeError(op, r.Name, err)
	}
	if err := in.sweep(ctx); err != nil {
		return storeError(op, r.Name, err)
	}
	return nil
}
