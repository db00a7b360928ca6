package format

import (
	"errors"
	"fmt"
	"io"

	"microagent/runtime/disk/ext4"
)

// Corruptf is an ErrCorrupt that says what is wrong.
func Corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ext4.ErrCorrupt}, args...)...)
}

// Unsupportedf is an ErrUnsupported that says what is not supported.
func Unsupportedf(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ext4.ErrUnsupported}, args...)...)
}

// ReadFull is ReadAt that takes the image's end for corruption.
func ReadFull(r io.ReaderAt, b []byte, at int64) error {
	n, err := r.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return Corruptf("image ends before byte %d", at+int64(len(b)))
	}
	return err
}
