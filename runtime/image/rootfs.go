package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/tartree"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// rootFS is a tar with a root file system, as an origin: an image with one layer, the file as it is, and a config
// that says nothing but the platform.
type rootFS struct {
	file *os.File
	arch string
	raw  []byte // the config that was made
}

func (o *rootFS) Close() error { return o.file.Close() }

// manifest reads the whole file: for its digest, its diff id, and to see that it is a whole tar.
func (o *rootFS) manifest(ctx context.Context) (manifest, error) {
	if _, err := o.file.Seek(0, io.SeekStart); err != nil {
		return manifest{}, err
	}
	blob, diff := sha256.New(), sha256.New()
	size := &countWriter{}
	raw := io.TeeReader(&contextReader{ctx, o.file}, io.MultiWriter(blob, size))
	z, err := decompress(raw)
	if err != nil {
		return manifest{}, err
	}
	defer z.Close()
	plain := io.TeeReader(&boundedReader{z, maxArchiveBytes}, diff)
	marked, err := checkTar(plain)
	if err != nil {
		return manifest{}, err
	}
	if _, err := io.Copy(io.Discard, plain); err != nil {
		return manifest{}, err
	}
	if _, err := io.Copy(io.Discard, raw); err != nil {
		return manifest{}, err
	}
	o.raw, err = json.Marshal(ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: o.arch},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.NewDigest(digest.SHA256, diff)}},
	})
	if err != nil {
		return manifest{}, fmt.Errorf("make a config: %w", err)
	}
	root := ocispec.Descriptor{MediaType: layerTypes[z.Format], Digest: digest.NewDigest(digest.SHA256, blob), Size: size.n}
	if marked {
		root.Annotations = map[string]string{annotationRoot: "true"}
	}
	return makeManifest(o.raw, []ocispec.Descriptor{root})
}

// annotationRoot is the annotation of a layer that is a root file system with files called like whiteouts. One without
// such files has none, and with it the digest that it always had.
const annotationRoot = "microagent.rootfs"

// checkTar reads a tar to its end mark, and says whether there are names like whiteouts in it. Without the mark the file
// is cut short, even where it is cut between entries.
func checkTar(in io.Reader) (marked bool, err error) {
	t := tartree.NewReader(in, tartree.Options{EndMark: tartree.Whole})
	for entries := 0; ; entries++ {
		h, err := t.Next()
		switch {
		case err == nil:
			marked = marked || strings.HasPrefix(path.Base(h.Name), ".wh.")
		case entries == 0 && (err == io.EOF || errors.Is(err, tartree.ErrUnended)):
			return false, corruptf("it is no tar, or an empty one")
		case entries == 0 && errors.Is(err, tar.ErrHeader):
			return false, fmt.Errorf("%w: it is no tar", driver.ErrInvalid)
		case err == io.EOF:
			return marked, nil
		default:
			return false, err
		}
	}
}

func (o *rootFS) config(context.Context, manifest) ([]byte, error) { return o.raw, nil }

func (o *rootFS) copy(_ context.Context, want []ocispec.Descriptor, put putFunc) error {
	for _, d := range want {
		var r io.Reader = o.file
		if d.Digest == digest.FromBytes(o.raw) {
			r = bytes.NewReader(o.raw)
		} else if _, err := o.file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if err := put(d, r); err != nil {
			return err
		}
	}
	return nil
}

type countWriter struct{ n int64 }

func (c *countWriter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}
