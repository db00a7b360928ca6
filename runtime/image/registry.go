package image

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	dockerref "github.com/distribution/reference"

	"microagent/runtime/driver"
	"microagent/schema/imageref"
)

// parallelBlobs is how many blobs of an image are fetched at a time.
const parallelBlobs = 3

// registry is an image in a registry, as an origin.
type registry struct {
	ref      imageref.Reference
	arch     string
	want     string // the digest to ask for instead of the tag; "" takes the tag's
	resolver remotes.Resolver
	said     *answers
	had      map[digest.Digest][]byte // configs that were read
}

// resolve asks what a name stands for: an index or a manifest.
func (o *registry) resolve(ctx context.Context, name string) (ocispec.Descriptor, error) {
	what := name[strings.LastIndexAny(name, ":@")+1:]
	if _, digest, ok := strings.Cut(name, "@"); ok {
		what = digest
	}
	d, err := retry(ctx, func() (ocispec.Descriptor, error) {
		_, d, err := o.resolver.Resolve(ctx, name)
		if err == nil {
			if bad := validDigest(d.Digest.String()); bad != nil {
				err = badDigest("the registry answers", bad)
			}
		}
		return d, err
	})
	return d, o.said.explain(what, err)
}

// byDigest is the name under which the registry has digest.
func (o *registry) byDigest(d string) string {
	named, err := dockerref.ParseNormalizedNamed(o.ref.Name)
	if err != nil {
		return o.ref.Name
	}
	return dockerref.TrimNamed(named).Name() + "@" + d
}

func (o *registry) manifest(ctx context.Context) (manifest, error) {
	if o.want != "" {
		data, err := o.fetchNamed(ctx, o.want)
		if err == nil {
			return parseManifest(data)
		}
		if !errdefs.IsNotFound(err) {
			return manifest{}, err
		}
	}
	d, data, err := o.platform(ctx)
	if err != nil {
		return manifest{}, err
	}
	if o.want != "" && d.Digest.String() != o.want {
		return manifest{}, staleError(o.ref, o.want, d.Digest.String())
	}
	if data == nil {
		if data, err = o.fetch(ctx, d); err != nil {
			return manifest{}, err
		}
	}
	return parseManifest(data)
}

// fetchNamed gives the manifest with the digest want, if the registry has it.
func (o *registry) fetchNamed(ctx context.Context, want string) ([]byte, error) {
	d, err := o.resolve(ctx, o.byDigest(want))
	if err != nil {
		return nil, err
	}
	data, err := o.fetch(ctx, d)
	if err != nil {
		return nil, err
	}
	doc, err := parseDocument(data)
	if err == nil && doc.isIndex() {
		return nil, errdefs.ErrNotFound
	}
	return data, err
}

// head gives the digest of the platform's manifest.
func (o *registry) head(ctx context.Context) (string, error) {
	d, _, err := o.platform(ctx)
	return d.Digest.String(), err
}

// platform goes from the name to the platform's manifest through any index on the way. data is the manifest when
// it had to be read.
func (o *registry) platform(ctx context.Context) (ocispec.Descriptor, []byte, error) {
	d, err := o.resolve(ctx, o.ref.Name)
	for depth := 0; err == nil; depth++ {
		if isManifestType(d.MediaType) {
			return d, nil, nil
		}
		var data []byte
		if data, err = o.fetch(ctx, d); err != nil {
			break
		}
		var doc document
		if doc, err = parseDocument(data); err != nil {
			break
		}
		if !doc.isIndex() {
			return d, data, nil
		}
		if depth == maxIndexDeep {
			return d, nil, corruptf("indexes are nested more than %d deep", maxIndexDeep)
		}
		if d, err = pick(doc.Manifests, o.arch); err == nil {
			err = validDocument(d)
		}
	}
	return ocispec.Descriptor{}, nil, err
}

func validDocument(d ocispec.Descriptor) error {
	if err := validDigest(d.Digest.String()); err != nil {
		return badDigest("an index", err)
	}
	if d.Size < 0 || d.Size > maxDocument {
		return corruptf("an index says that manifest %s has %d bytes", d.Digest, d.Size)
	}
	return nil
}

func isManifestType(t string) bool { return t == ocispec.MediaTypeImageManifest || t == dockerManifest }

func (o *registry) config(ctx context.Context, m manifest) ([]byte, error) {
	data, err := o.fetch(ctx, m.Config)
	if err == nil {
		o.had = map[digest.Digest][]byte{m.Config.Digest: data}
	}
	return data, err
}

// fetch gives a small blob, verified.
func (o *registry) fetch(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	return fromSomewhere(ctx, o.said, d.Digest.String(), func() ([]byte, error) {
		rc, err := o.reader(ctx, d)
		if err != nil {
			return nil, err
		}
		defer rc.Close()
		data, err := readSmall(rc)
		if err != nil {
			return nil, err
		}
		if int64(len(data)) < d.Size {
			return nil, io.ErrUnexpectedEOF
		}
		if got := digest.FromBytes(data); got != d.Digest {
			return nil, &wrongBlobError{Want: d.Digest.String(), Got: got.String()}
		}
		return data, nil
	})
}

// fromSomewhere is retry for what a mirror may have other bytes of, or never all: the next host is asked for it then.
func fromSomewhere[T any](ctx context.Context, said *answers, digest string, f func() (T, error)) (T, error) {
	for {
		v, err := retry(ctx, f)
		if (errors.Is(err, driver.ErrCorrupt) || errors.Is(err, io.ErrUnexpectedEOF)) && said.passOver(digest) {
			continue
		}
		return v, said.explain(digest, err)
	}
}

func (o *registry) reader(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	f, err := o.resolver.Fetcher(ctx, o.ref.Name)
	if err != nil {
		return nil, err
	}
	// Neither URLs nor inline data of a hostile manifest are of use.
	d.URLs, d.Data = nil, nil
	return f.Fetch(ctx, d)
}

func (o *registry) copy(ctx context.Context, want []ocispec.Descriptor, put putFunc) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelBlobs)
	for _, d := range want {
		g.Go(func() error {
			if data, ok := o.had[d.Digest]; ok {
				return put(d, bytes.NewReader(data))
			}
			_, err := fromSomewhere(ctx, o.said, d.Digest.String(), func() (struct{}, error) {
				rc, err := o.reader(ctx, d)
				if err != nil {
					return struct{}{}, err
				}
				return struct{}{}, errors.Join(put(d, rc), rc.Close())
			})
			return err
		})
	}
	return g.Wait()
}

func (o *registry) Close() error { return nil }

// remembered is an image whose manifest and config are in the store: the registry is asked for missing layers
// only.
type remembered struct {
	*registry
	m     manifest
	blobs blobs
}

func (o *remembered) manifest(context.Context) (manifest, error) { return o.m, nil }

func (o *remembered) config(_ context.Context, m manifest) ([]byte, error) {
	return o.blobs.read(m.Config.Digest.String())
}
