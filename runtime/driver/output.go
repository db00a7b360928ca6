package driver

import (
	"context"
	"io"
	"os"
)

// Target is where an output goes: a path beneath an open folder, which it can't leave.
type Target struct {
	Root *os.Root // unused when Enter is set
	Path string
	// Enter opens the folder in which the last element of Path lies, and makes it first when create is set. Whoever
	// gives it decides anew at each call whether that folder may be read and written. Nil: it is the one beneath Root.
	Enter func(create bool) (*os.Root, error)
}

// Publishing says how a tree is brought out.
type Publishing struct {
	Limit int64 // bytes of files, and entries' overhead; 0 is the default
	// Git brings git folders as well: what is called .git in any case, and what git would take for a repository.
	// Git runs programs that the configuration in them names, so that only a user may ask for it.
	Git bool
}

// PAXBefore is the PAX record of an entry of a guest's tar stream that was last changed, by its ctime on the guest's own
// clock, before the process started whose output the stream is.
const PAXBefore = "MICROAGENT.before"

// Outputs writes trees that came out of guests. Their bytes are hostile: no devices, no setuid, no links that
// lead outside, no git folders unless asked for, nothing above the limit.
type Outputs interface {
	// Digest is that of the tree at t in its canonical form, ErrNotFound when nothing is there.
	Digest(ctx context.Context, t Target) (string, error)
	// Publish writes the tar stream's tree under a temporary name beside t and renames it into place; a
	// tree that is there already with the same digest is left untouched, another one is replaced whole.
	// One single regular file named "." becomes a file. A hard link to a file that came before becomes a file with
	// the same content, which counts. What must not come out is left out and noted, and so is what PAXBefore tells.
	Publish(ctx context.Context, tree io.Reader, t Target, how Publishing) (Fetched, error)
	// Tar writes the tree at t as the tar stream that Publish reads.
	Tar(ctx context.Context, t Target, w io.Writer) error
}
