package image

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"microagent/runtime/compress"
	"microagent/runtime/driver"
	"microagent/runtime/tartree"
	"microagent/schema/imageref"
)

// Bounds on an archive.
const (
	maxArchiveEntries = 100_000
	maxArchiveBytes   = 1 << 40 // decompressed
	maxKeptBytes      = 64 << 20
	maxArchiveLinks   = 16
)

// archive is a tar whose entries are found by name. Nothing is unpacked: names and links lead from entry to entry
// and never to the host's file system. A plain tar is read by seeking, a compressed one from its beginning each
// time.
type archive struct {
	f       *os.File
	name    string // as its user wrote it
	entries map[string]archived
	kept    map[string][]byte // documents that were small enough to keep from the first reading
	plain   bool
}

// archived is one entry.
type archived struct {
	at   int // its number among all; of several of one name the last counts
	size int64
	link string // the name of the entry that this one is a link to
}

// openArchive reads the names of all entries.
func openArchive(ctx context.Context, files driver.Files, name string) (*archive, error) {
	f, err := openRegular(files, name)
	if err != nil {
		return nil, err
	}
	a := &archive{f: f, name: name, entries: map[string]archived{}, kept: map[string][]byte{}}
	if err := a.scan(ctx); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return a, nil
}

// errNoFiles says that a file source came without a way to open files.
var errNoFiles = fmt.Errorf("%w: nothing opens files for it", driver.ErrInvalid)

// openRegular opens a regular file: opening a fifo would wait for ever.
func openRegular(files driver.Files, name string) (*os.File, error) {
	fi, err := files.Stat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() {
		return nil, &driver.Error{
			Class: driver.ErrInvalid, Op: "open", Object: name, Err: errors.New("not a regular file"),
			Next: "name a file; a directory with an OCI layout is oci:DIR",
		}
	}
	return files.Open(name)
}

func (a *archive) Close() error { return a.f.Close() }

// scan is the first reading. Whatever is small enough to be a document is kept.
func (a *archive) scan(ctx context.Context) error {
	var kept int64
	number := 0
	return a.walk(ctx, func(h *tar.Header, r io.Reader) error {
		if len(a.entries) >= maxArchiveEntries {
			return corruptf("it has more than %d entries", maxArchiveEntries)
		}
		name := entryName(h.Name)
		number++
		e := archived{at: number, size: h.Size}
		switch h.Typeflag {
		case tar.TypeReg:
		case tar.TypeLink:
			e.link = entryName(h.Linkname)
		case tar.TypeSymlink:
			e.link = entryName(path.Join(path.Dir(name), h.Linkname))
		default:
			return nil
		}
		a.entries[name] = e
		delete(a.kept, name)
		if e.link != "" || h.Size > maxDocument || kept+h.Size > maxKeptBytes || !isDocument(name) {
			return nil
		}
		kept += h.Size
		data, err := io.ReadAll(r)
		a.kept[name] = data
		return err
	})
}

// isDocument says whether an entry can be a manifest, an index or a config. In an OCI layout the name does not
// tell; a first byte would, but everything small is cheap enough.
func isDocument(name string) bool {
	return strings.HasSuffix(name, ".json") || strings.HasPrefix(name, "blobs/")
}

// entryName is a name as it is in entries: relative to the archive's root, and never above it.
func entryName(name string) string { return tartree.Clean(name) }

// walk reads the tar from its beginning.
func (a *archive) walk(ctx context.Context, visit func(*tar.Header, io.Reader) error) error {
	if _, err := a.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var head [compress.SniffLength]byte
	n, err := io.ReadFull(a.f, head[:])
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF // an empty file
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if _, err := a.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	c, err := sniff(head[:n])
	if err != nil {
		return err
	}
	var r io.Reader = a.f
	if a.plain = c == compress.Plain; !a.plain {
		z, err := decompress(&contextReader{ctx, a.f})
		if err != nil {
			return err
		}
		defer z.Close()
		r = &boundedReader{z, maxArchiveBytes}
	}
	first := true
	for tr := tartree.NewReader(r, tartree.Options{EndMark: tartree.NoMark}); ; first = false {
		if err := ctx.Err(); err != nil {
			return err
		}
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if first && errors.Is(err, tar.ErrHeader) {
			return fmt.Errorf("%w: it is no tar", driver.ErrInvalid)
		}
		if err == nil {
			err = visit(h, tr)
		}
		if errors.Is(err, fs.SkipAll) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// boundedReader refuses to read for ever.
type boundedReader struct {
	r    io.Reader
	left int64
}

func (b *boundedReader) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n, corruptf("it has more than %d bytes when decompressed", int64(maxArchiveBytes))
	}
	return n, err
}

// resolve follows links to the entry that has the bytes.
func (a *archive) resolve(name string) (string, int64, bool) {
	name = entryName(name)
	for range maxArchiveLinks {
		e, ok := a.entries[name]
		if !ok || e.link == "" {
			return name, e.size, ok
		}
		name = e.link
	}
	return name, 0, false
}

// document gives the bytes of a small entry.
func (a *archive) document(ctx context.Context, name string) ([]byte, error) {
	real, size, ok := a.resolve(name)
	if !ok {
		return nil, a.lacks(name)
	}
	if data, ok := a.kept[real]; ok {
		return data, nil
	}
	if size > maxDocument {
		return nil, corruptf("its entry %s has %d bytes", name, size)
	}
	var data []byte
	err := a.each(ctx, map[string]bool{real: true}, func(_ string, _ int64, r io.Reader) error {
		var err error
		data, err = readSmall(r)
		return err
	})
	return data, err
}

// lacks says what an archive is that has not the entry that all of its kind have.
func (a *archive) lacks(name string) error {
	const dockerFile = "manifest.json"
	other := ""
	switch name {
	case dockerFile:
		if _, ok := a.entries[ocispec.ImageIndexFile]; ok {
			other = string(imageref.OCIArchive)
		}
	case ocispec.ImageIndexFile:
		if _, ok := a.entries[dockerFile]; ok {
			other = string(imageref.DockerArchive)
		}
	default:
		return corruptf("it has no entry %s", name)
	}
	if other == "" && len(a.entries) > 0 && !a.inLayout() {
		other = string(imageref.RootFS)
	}
	if other != "" {
		return &driver.Error{
			Class: driver.ErrInvalid, Op: "read", Object: a.name, Err: fmt.Errorf("it has no entry %s, and is another kind of archive", name),
			Next: "write " + other + ":" + a.name,
		}
	}
	return corruptf("it has no entry %s; it is another kind of file, or truncated", name)
}

// inLayout says whether an entry is one that archives of images have.
func (a *archive) inLayout() bool {
	for name := range a.entries {
		if strings.HasPrefix(name, "blobs/") || name == "oci-layout" || strings.HasSuffix(name, "/layer.tar") {
			return true
		}
	}
	return false
}

// each hands the named entries to visit, in the archive's order. Names must be resolved.
func (a *archive) each(ctx context.Context, names map[string]bool, visit func(name string, size int64, r io.Reader) error) error {
	left, number := len(names), 0
	err := a.walk(ctx, func(h *tar.Header, r io.Reader) error {
		name := entryName(h.Name)
		number++
		if h.Typeflag != tar.TypeReg || !names[name] || a.entries[name].at != number {
			return nil
		}
		if err := visit(name, h.Size, r); err != nil {
			return err
		}
		if left--; left == 0 {
			return fs.SkipAll
		}
		return nil
	})
	if err == nil && left > 0 {
		err = fmt.Errorf("%w: entries that it had are gone: it changed while it was read", driver.ErrCorrupt)
	}
	return err
}
