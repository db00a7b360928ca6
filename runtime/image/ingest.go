package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/imageref"
)

// lockWait is how long a writer waits for another one: a pull may take its time. One who can't tell for whom it waits has
// shortWait.
const (
	lockWait  = 24 * time.Hour
	shortWait = 10 * time.Second
)

// ingest is the right to write the store: its lock, and containerd's store opened under it.
type ingest struct {
	*Store
	content content.Store
	unlock  func()
}

// ingest takes the store's lock. What an earlier writer left half done goes away.
func (s *Store) ingest(ctx context.Context, p driver.Progress) (*ingest, error) {
	if err := os.MkdirAll(s.state.Images(), 0o700); err != nil {
		return nil, err
	}
	unlock, err := s.lock(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := s.sweep(); err != nil {
		unlock()
		return nil, err
	}
	cs, err := local.NewStore(s.state.Images())
	if err != nil {
		unlock()
		return nil, err
	}
	return &ingest{Store: s, content: cs, unlock: unlock}, nil
}

// sweep removes what a writer that was killed left: ingests, and the folder in which containerd's store tries, as it is
// opened, whether the file system has fs-verity.
func (s *Store) sweep() error {
	left, err := filepath.Glob(filepath.Join(s.state.Images(), ".fsverity-check-*"))
	for _, path := range append(left, filepath.Join(s.state.Images(), "ingest")) {
		err = errors.Join(err, os.RemoveAll(path))
	}
	return err
}

func (s *Store) lock(ctx context.Context, p driver.Progress) (func(), error) {
	unlock, err := s.state.Lock(ctx, "images", "store", 0)
	if locked, ok := errors.AsType[*layout.LockedError](err); ok {
		wait := shortWait
		if p != nil {
			wait = lockWait
			p("waiting for the image store: "+locked.Error(), 0, 0)
			ctx = layout.Tell(ctx, nil)
		}
		unlock, err = s.state.Lock(ctx, "images", "store", wait)
	}
	if locked, ok := errors.AsType[*layout.LockedError](err); ok {
		err = &driver.Error{Class: driver.ErrLocked, Op: "lock", Object: "image store", Err: locked, Next: "try again when it is done"}
	}
	return unlock, err
}

// discard removes a blob if its bytes are wrong. Another writer may have put it right already.
func (in *ingest) discard(ctx context.Context, d string) error {
	f, err := in.blobs.open(d)
	if errors.Is(err, driver.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	got, err := digest.FromReader(&contextReader{ctx, f})
	if err != nil || got.String() == d {
		return err
	}
	return in.content.Delete(ctx, digest.Digest(d))
}

// put writes one blob, verified. One that is there is left as it is and r is not read.
func (in *ingest) put(ctx context.Context, d ocispec.Descriptor, r io.Reader) error {
	w, err := in.content.Writer(ctx, content.WithRef(d.Digest.String()), content.WithDescriptor(d))
	if errdefs.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return err
	}
	err = in.fill(ctx, w, d, r)
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return errors.Join(err, w.Close(), ignoreNotFound(in.content.Abort(context.WithoutCancel(ctx), d.Digest.String())))
	}
	return nil
}

func (in *ingest) fill(ctx context.Context, w content.Writer, d ocispec.Descriptor, r io.Reader) error {
	n, err := io.Copy(w, &contextReader{ctx, io.LimitReader(r, d.Size+1)})
	if err != nil {
		return err
	}
	if n < d.Size {
		return fmt.Errorf("blob %s: %d of %d bytes: %w", d.Digest, n, d.Size, io.ErrUnexpectedEOF)
	}
	if n > d.Size {
		return corruptf("blob %s has more than the %d bytes that its manifest says", d.Digest, d.Size)
	}
	if got := w.Digest(); got != d.Digest {
		return &wrongBlobError{Want: d.Digest.String(), Got: got.String()}
	}
	return w.Commit(ctx, d.Size, d.Digest)
}

func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// missing gives those of list that the store lacks. One that has another size is removed first.
func (in *ingest) missing(ctx context.Context, list []ocispec.Descriptor) ([]ocispec.Descriptor, error) {
	var lack []ocispec.Descriptor
	for _, d := range list {
		size, err := in.blobs.size(d.Digest.String())
		if err == nil && size == d.Size {
			continue
		}
		if err == nil {
			err = in.content.Delete(ctx, d.Digest)
		}
		if err != nil && !errors.Is(err, driver.ErrNotFound) {
			return nil, err
		}
		lack = append(lack, d)
	}
	return lack, nil
}

// dropWrong removes the small blobs of an image whose bytes are wrong, so that they are fetched again.
func (in *ingest) dropWrong(ctx context.Context, m manifest) error {
	return errors.Join(in.discard(ctx, m.digest), in.discard(ctx, m.Config.Digest.String()))
}

// name publishes the index with digest under key.
func (in *ingest) name(r imageref.Reference, key string, e named) error {
	idx, err := in.readIndex()
	if err != nil {
		return err
	}
	idx.set(r, key, e)
	return layout.WriteJSON(in.indexPath(), idx)
}

// sweep removes the blobs that no name holds. A blob that can't be read as a manifest holds nothing.
func (in *ingest) sweep(ctx context.Context) error {
	idx, err := in.readIndex()
	if err != nil {
		return err
	}
	held := map[string]bool{}
	for _, e := range idx.Images {
		held[e.Digest] = true
		data, err := in.blobs.read(e.Digest)
		var m manifest
		if err == nil {
			m, err = parseManifest(data)
		}
		if err != nil && !errors.Is(err, driver.ErrNotFound) && !errors.Is(err, driver.ErrCorrupt) {
			return err
		}
		if err == nil {
			for _, d := range m.blobs() {
				held[d.Digest.String()] = true
			}
		}
	}
	entries, err := os.ReadDir(in.blobs.path(""))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		d := "sha256:" + e.Name()
		if held[d] || validDigest(d) != nil {
			continue
		}
		if err := ignoreNotFound(in.content.Delete(ctx, digest.Digest(d))); err != nil {
			return err
		}
	}
	return nil
}

// contextReader ends with ctx.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c *contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
