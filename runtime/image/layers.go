package image

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"

	"microagent/runtime/driver"
)

// layers holds the blobs of an image open, so that nobody can take them away while they are read.
type layers struct {
	store  *Store
	image  string
	files  []*os.File
	blobs  []string // digests
	diffs  []string // diff ids
	roots  []bool   // those that are whole root file systems
	closed bool
}

// Layers opens the layers of an image of the store.
func (s *Store) Layers(_ context.Context, image string) (driver.Layers, error) {
	const op = "open layers of image"
	if err := validDigest(image); err != nil {
		return nil, invalid(op, image, err)
	}
	m, data, err := s.load(image)
	if err != nil {
		return nil, storeError(op, image, err)
	}
	if _, err := describe(m, data, ""); err != nil {
		return nil, storeError(op, image, err)
	}
	c, err := parseConfig(data)
	if err != nil {
		return nil, storeError(op, image, err)
	}
	l := &layers{store: s, image: image}
	for i, d := range m.Layers {
		f, err := s.blobs.open(d.Digest.String())
		if err != nil {
			return nil, storeError(op, image, errors.Join(err, l.Close()))
		}
		l.files = append(l.files, f)
		l.blobs = append(l.blobs, d.Digest.String())
		l.diffs = append(l.diffs, c.RootFS.DiffIDs[i].String())
		l.roots = append(l.roots, d.Annotations[annotationRoot] != "")
	}
	return l, nil
}

func (l *layers) Len() int { return len(l.files) }

func (l *layers) Whiteouts(i int) bool { return !l.roots[i] }

// Open gives layer i, verified on the way.
func (l *layers) Open(ctx context.Context, i int) (io.ReadCloser, error) {
	const op = "open layer"
	if l.closed || i < 0 || i >= len(l.files) {
		return nil, &driver.Error{Class: driver.ErrInvalid, Op: op, Object: fmt.Sprint(i), Err: errors.New("there is no such open layer")}
	}
	fi, err := l.files[i].Stat()
	if err != nil {
		return nil, &driver.Error{Op: op, Object: l.blobs[i], Err: err}
	}
	r := &layer{ctx: ctx, owner: l, index: i, blob: sha256.New(), diff: sha256.New()}
	r.raw = io.TeeReader(&contextReader{ctx, io.NewSectionReader(l.files[i], 0, fi.Size())}, r.blob)
	plain, err := decompress(r.raw)
	if err != nil {
		return nil, r.explain(err)
	}
	r.plain = plain
	return r, nil
}

// Close closes all layers.
func (l *layers) Close() error {
	l.closed = true
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}

// layer reads one layer and hashes it twice, as it is and decompressed.
type layer struct {
	ctx        context.Context
	owner      *layers
	index      int
	raw        io.Reader
	plain      io.ReadCloser
	blob, diff hash.Hash
	end        error
}

func (r *layer) Read(p []byte) (int, error) {
	if r.end != nil {
		return 0, r.end
	}
	n, err := r.plain.Read(p)
	r.diff.Write(p[:n])
	if err == nil {
		return n, nil
	}
	if r.end = r.finish(err); n > 0 {
		return n, nil
	}
	return 0, r.end
}

// finish decides what the reader ends with.
func (r *layer) finish(err error) error {
	if !errors.Is(err, io.EOF) {
		return r.explain(err)
	}
	if wrong := r.checkBlob(); wrong != nil {
		return wrong
	}
	if got := "sha256:" + hex.EncodeToString(r.diff.Sum(nil)); got != r.owner.diffs[r.index] {
		// The blob is what the manifest says: the image was made wrong, and fetching again can't help.
		return &driver.Error{
			Class: driver.ErrCorrupt, Op: "read layer", Object: r.owner.blobs[r.index],
			Err:  fmt.Errorf("unpacked it has digest %s, and the image's config says %s", got, r.owner.diffs[r.index]),
			Next: "the image was built wrong: build it again",
		}
	}
	return io.EOF
}

// explain says what a failed read means: a blob with wrong bytes explains every other error.
func (r *layer) explain(err error) error {
	if r.ctx.Err() != nil {
		return r.ctx.Err()
	}
	if wrong := r.checkBlob(); wrong != nil {
		return wrong
	}
	next := driver.Next(err)
	if next == "" {
		next = "the image was built wrong: build it again"
	}
	return &driver.Error{Op: "read layer", Object: r.owner.blobs[r.index], Err: err, Next: next}
}

// checkBlob reads the blob to its end and removes it from the store when its bytes are not what they should be.
func (r *layer) checkBlob() error {
	if _, err := io.Copy(io.Discard, r.raw); err != nil {
		return &driver.Error{Op: "read layer", Object: r.owner.blobs[r.index], Err: err}
	}
	want := r.owner.blobs[r.index]
	got := "sha256:" + hex.EncodeToString(r.blob.Sum(nil))
	if got == want {
		return nil
	}
	e := &driver.Error{
		Class: driver.ErrCorrupt, Op: "read layer", Object: want,
		Err:  fmt.Errorf("%w; it was removed from the store", &wrongBlobError{Want: want, Got: got}),
		Next: "run this again: the layer is fetched anew",
	}
	if err := r.owner.store.discard(r.ctx, want); err != nil {
		e.Err = fmt.Errorf("%w; it could not be removed from the store: %w", &wrongBlobError{Want: want, Got: got}, err)
		e.Next = "remove " + r.owner.store.blobs.path(want) + ", then run this again"
	}
	return e
}

// Close ends the reading of a layer; its blob stays open until Layers is closed.
func (r *layer) Close() error { return r.plain.Close() }

// discard removes a blob whose bytes are wrong.
func (s *Store) discard(ctx context.Context, d string) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	in, err := s.ingest(ctx, nil)
	if err != nil {
		return err
	}
	defer in.unlock()
	return in.discard(ctx, d)
}
