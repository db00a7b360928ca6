package image

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"microagent/runtime/driver"
)

// blobs reads the files of a content store by their path. It never writes.
type blobs struct{ dir string }

func (b blobs) path(d string) string {
	return filepath.Join(b.dir, "blobs", "sha256", strings.TrimPrefix(d, "sha256:"))
}

func (b blobs) open(d string) (*os.File, error) {
	if err := validDigest(d); err != nil {
		return nil, err
	}
	f, err := os.Open(b.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &missingError{d}
	}
	return f, err
}

func (b blobs) size(d string) (int64, error) {
	fi, err := os.Stat(b.path(d))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, &missingError{d}
	}
	if err != nil {
		return 0, err
	}
	return fi.Size(), nil
}

// read gives a small blob, verified.
func (b blobs) read(d string) ([]byte, error) {
	f, err := b.open(d)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := readSmall(f)
	if err != nil {
		return nil, err
	}
	if got := digest.FromBytes(data).String(); got != d {
		return nil, &wrongBlobError{Want: d, Got: got}
	}
	return data, nil
}

// readSmall reads a document and refuses one that is too large to be one.
func readSmall(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxDocument+1))
	if err == nil && len(data) > maxDocument {
		err = corruptf("a manifest or config has more than %d bytes", maxDocument)
	}
	return data, err
}

// missingError says that the store has no such blob.
type missingError struct{ digest string }

func (e *missingError) Error() string        { return "the store has no blob " + e.digest }
func (e *missingError) Is(target error) bool { return target == driver.ErrNotFound }

// wrongBlobError says that bytes are not what their digest says.
type wrongBlobError struct{ Want, Got string }

func (e *wrongBlobError) Error() string {
	return "the bytes have digest " + e.Got + " instead of " + e.Want
}
func (e *wrongBlobError) Is(target error) bool { return target == driver.ErrCorrupt }
