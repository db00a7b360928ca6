package disk

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io/fs"
	"strconv"
	"strings"
	"syscall"
	"time"

	"microagent/runtime/disk/layer"
	"microagent/runtime/driver"
)

// statForm is the version of driver.Fingerprint's Stat: "v1 <hex> <entries> <bytes>", the hex over the stat
// results of all that was read and over what was left out.
const statForm = "v1"

// marks collects stat results.
type marks struct {
	h      hash.Hash
	newest int64 // mtime or ctime, in Unix nanoseconds
	line   []byte
	mode   fs.FileMode // of the last file, and in words
	words  string
}

func newMarks(s *source) *marks {
	m := &marks{h: sha256.New()}
	fmt.Fprintf(m.h, "dir=%v exclude=%q\n", s.dir, s.src.Exclude)
	return m
}

// add notes one file. Of a directory only its being there counts: what is in it is noted itself.
func (m *marks) add(rel string, st fs.FileInfo) {
	b := strconv.AppendQuote(m.line[:0], rel)
	if mode := st.Mode(); mode != m.mode || m.words == "" {
		m.mode, m.words = mode, mode.String()
	}
	b = append(append(b, ' '), m.words...)
	if !st.IsDir() {
		mtime := st.ModTime().UnixNano()
		m.newest = max(m.newest, mtime)
		b = appendNumbers(b, st.Size(), mtime)
		if sys, ok := st.Sys().(*syscall.Stat_t); ok {
			ctime := sys.Ctim.Nano()
			m.newest = max(m.newest, ctime)
			b = strconv.AppendUint(append(appendNumbers(b, ctime), ' '), sys.Dev, 10)
			b = strconv.AppendUint(append(b, ' '), sys.Ino, 10)
		} else {
			m.newest = time.Now().UnixNano() // no ctime, no trust
		}
	}
	m.line = append(b, '\n')
	m.h.Write(m.line)
}

// appendNumbers adds numbers, each behind a space.
func appendNumbers(b []byte, all ...int64) []byte {
	for _, n := range all {
		b = strconv.AppendInt(append(b, ' '), n, 10)
	}
	return b
}

func (m *marks) stat(t layer.Totals) string {
	return fmt.Sprintf("%s %s %d %d", statForm, hex.EncodeToString(m.h.Sum(nil)), t.Entries, t.Bytes)
}

// holds says whether known was taken from what the marks show, and late enough that no later change can have
// the same marks.
func (m *marks) holds(known driver.Fingerprint) (layer.Totals, bool) {
	var t layer.Totals
	f := strings.Fields(known.Stat)
	if len(f) != 4 || bundleKeyOf(known.Digest) == "" {
		return t, false
	}
	var err1, err2 error
	t.Entries, err1 = strconv.Atoi(f[2])
	t.Bytes, err2 = strconv.ParseInt(f[3], 10, 64)
	if err1 != nil || err2 != nil || m.stat(t) != known.Stat {
		return t, false
	}
	return t, m.newest < known.Taken-int64(margin)
}
