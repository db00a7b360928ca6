package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"microagent/runtime/driver"
	"microagent/schema/imageref"
)

// openFile opens a file source.
func (s *Store) openFile(ctx context.Context, r imageref.Reference, files driver.Files) (origin, error) {
	if files == nil {
		return nil, errNoFiles
	}
	switch r.Kind {
	case imageref.OCI:
		return &ociLayout{ref: r, arch: s.arch, source: folder{files, r.Path}}, nil
	case imageref.OCIArchive:
		a, err := openArchive(ctx, files, r.Path)
		if err != nil {
			return nil, err
		}
		return &ociLayout{ref: r, arch: s.arch, source: a}, nil
	case imageref.DockerArchive:
		a, err := openArchive(ctx, files, r.Path)
		if err != nil {
			return nil, err
		}
		return &dockerArchive{ref: r, archive: a}, nil
	}
	f, err := openRegular(files, r.Path)
	if err != nil {
		return nil, err
	}
	return &rootFS{file: f, arch: s.arch}, nil
}

// ociSource is where the files of an OCI layout are: a folder or an archive. Names are those of the image-layout
// specification.
type ociSource interface {
	document(ctx context.Context, name string) ([]byte, error)
	resolve(name string) (real string, size int64, ok bool)
	each(ctx context.Context, names map[string]bool, visit func(name string, size int64, r io.Reader) error) error
	Close() error
}

// ociLayout is an image in an OCI layout, as an origin.
type ociLayout struct {
	ref    imageref.Reference
	arch   string
	source ociSource
}

func (o *ociLayout) Close() error { return o.source.Close() }

func blobName(d digest.Digest) string {
	return "blobs/" + d.Algorithm().String() + "/" + d.Encoded()
}

func (o *ociLayout) manifest(ctx context.Context) (manifest, error) {
	data, err := o.source.document(ctx, ocispec.ImageIndexFile)
	if err != nil {
		return manifest{}, err
	}
	var top ocispec.Index
	if err := json.Unmarshal(data, &top); err != nil {
		return manifest{}, unreadable(ocispec.ImageIndexFile, err)
	}
	d, err := o.choose(ctx, top.Manifests)
	for depth := 0; err == nil; depth++ {
		if data, err = o.verified(ctx, d); err != nil {
			break
		}
		var doc document
		if doc, err = parseDocument(data); err != nil {
			break
		}
		if !doc.isIndex() {
			return parseManifest(data)
		}
		if depth == maxIndexDeep {
			return manifest{}, corruptf("indexes are nested more than %d deep", maxIndexDeep)
		}
		d, err = pick(doc.Manifests, o.arch)
	}
	return manifest{}, err
}

// verified gives a document of the layout.
func (o *ociLayout) verified(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	if err := validDigest(d.Digest.String()); err != nil {
		return nil, badDigest("an index", err)
	}
	data, err := o.source.document(ctx, blobName(d.Digest))
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(data); got != d.Digest {
		return nil, &wrongBlobError{Want: d.Digest.String(), Got: got.String()}
	}
	return data, nil
}

func (o *ociLayout) config(ctx context.Context, m manifest) ([]byte, error) {
	return o.verified(ctx, m.Config)
}

func (o *ociLayout) copy(ctx context.Context, want []ocispec.Descriptor, put putFunc) error {
	names := map[string]bool{}
	wanted := map[string][]ocispec.Descriptor{}
	for _, d := range want {
		name, _, ok := o.source.resolve(blobName(d.Digest))
		if !ok {
			return corruptf("it has no blob %s", d.Digest)
		}
		names[name] = true
		wanted[name] = append(wanted[name], d)
	}
	return o.source.each(ctx, names, func(name string, size int64, r io.Reader) error {
		d := wanted[name][0]
		if len(wanted[name]) > 1 {
			return corruptf("its blobs %s and %s are one entry", d.Digest, wanted[name][1].Digest)
		}
		if size != d.Size {
			return corruptf("its blob %s has %d bytes instead of %d", d.Digest, size, d.Size)
		}
		return put(d, r)
	})
}

// folder is an OCI layout in a directory.
type folder struct {
	files driver.Files
	dir   string
}

func (f folder) Close() error { return nil }

func (f folder) document(_ context.Context, name string) ([]byte, error) {
	file, err := openRegular(f.files, path.Join(f.dir, name))
	if err != nil {
		return nil, f.explain(name, err)
	}
	defer file.Close()
	return readSmall(file)
}

// explain tells a folder that is not there from one that is no OCI layout.
func (f folder) explain(name string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, statErr := f.files.Stat(f.dir); statErr != nil {
		return statErr
	}
	if _, statErr := f.files.Stat(path.Join(f.dir, "oci-layout")); name == ocispec.ImageIndexFile && errors.Is(statErr, fs.ErrNotExist) {
		return fmt.Errorf("%w: it has no %s and no oci-layout: it is no OCI layout", driver.ErrInvalid, name)
	}
	return corruptf("it has no %s: it is not a whole OCI layout", name)
}

func (f folder) resolve(name string) (string, int64, bool) {
	fi, err := f.files.Stat(path.Join(f.dir, name))
	if err != nil {
		return name, 0, false
	}
	return name, fi.Size(), true
}

func (f folder) each(_ context.Context, names map[string]bool, visit func(string, int64, io.Reader) error) error {
	for name := range names {
		if err := f.one(name, visit); err != nil {
			return err
		}
	}
	return nil
}

func (f folder) one(name string, visit func(string, int64, io.Reader) error) error {
	file, err := openRegular(f.files, path.Join(f.dir, name))
	if err != nil {
		return f.explain(name, err)
	}
	defer file.Close()
	fi, err := file.Stat()
	if err != nil {
		return err
	}
	return visit(name, fi.Size(), file)
}
