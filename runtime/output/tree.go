package output

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
)

// kind is what an entry of a tree is. The values are part of the digest's form.
type kind byte

const (
	kindDir   kind = 'd'
	kindFile  kind = 'f'
	kindExec  kind = 'x' // a file that someone may execute
	kindLink  kind = 'l'
	kindOther kind = 'o' // found on the host, or in a stream and not brought out
)

// entry is one name of a tree.
type entry struct {
	kind   kind
	size   int64
	sum    [sha256.Size]byte // of a file's bytes
	target string            // of a link
}

// tree holds entries by slash-separated path. "." is the root: a directory, or the one file that the tree is.
type tree map[string]entry

func (t tree) paths() []string { return slices.Sorted(maps.Keys(t)) }

func (t tree) files() (n int, bytes int64) {
	for _, e := range t {
		if e.kind == kindFile || e.kind == kindExec {
			n++
			bytes += e.size
		}
	}
	return n, bytes
}

// digest is sha256 over a heading and, for each path in byte order, its kind, its path and NUL; then for a file
// its size in decimal, NUL and the sha256 of its bytes, for a link its target and NUL. Owners, times and
// permissions other than "executable" are not part of it.
func (t tree) digest() string {
	h := sha256.New()
	fmt.Fprint(h, "microagent tree v1\n")
	for _, p := range t.paths() {
		e := t[p]
		fmt.Fprintf(h, "%c%s\x00", e.kind, p)
		switch e.kind {
		case kindFile, kindExec:
			fmt.Fprintf(h, "%d\x00%s", e.size, e.sum[:])
		case kindLink:
			fmt.Fprintf(h, "%s\x00", e.target)
		}
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}
