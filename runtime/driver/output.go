package driver

import (
	"context"
	"io"
	"os"
)

// Target is where an output goes: a path beneath an open folder, which it can't leave.
type Target struct {
	Root *os.Root
	Path string
}

// Outputs writes trees that came out of guests. Their bytes are hostile: no devices, no setuid, no links that
// lead outside, nothing above the limit.
type Outputs interface {
	// Digest is that of the tree at t in its canonical form, ErrNotFound when nothing is there.
	Digest(ctx context.Context, t Target) (string, error)
	// Publish writes the tar stream's tree under a temporary name beside t and renames it into place; a
	// tree that is there already with the same digest is left untouched, another one is replaced whole.
	// One single regular file named "." becomes a file. The limit counts bytes and entries' overhead.
	Publish(ctx context.Context, tree io.Reader, t Target, limit int64) (Fetched, error)
	// Tar writes the tree at t as the tar stream that Publish reads.
	Tar(ctx context.Context, t Target, w io.Writer) error
}
