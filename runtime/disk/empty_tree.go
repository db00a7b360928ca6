package disk

import (
	"errors"
	"io"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/layer"
	"microagent/runtime/disk/sparse"
)

// emptyTree takes everything and keeps nothing: files are read to their end, without their holes.
type emptyTree struct{ buf []byte }

var _ layer.Tree = emptyTree{}

func newEmptyTree() emptyTree { return emptyTree{make([]byte, hashChunk)} }

func (emptyTree) NextLayer()                                             {}
func (emptyTree) Mkdir(string, ext4.Attr) error                          { return nil }
func (emptyTree) Symlink(string, string, ext4.Attr) error                { return nil }
func (emptyTree) Link(string, string) error                              { return nil }
func (emptyTree) Device(string, uint32, uint32, uint32, ext4.Attr) error { return nil }
func (emptyTree) Whiteout(string) error                                  { return nil }
func (emptyTree) Opaque(string) error                                    { return nil }
func (emptyTree) Remove(string) error                                    { return nil }
func (emptyTree) Own(string) bool                                        { return true }

func (t emptyTree) File(_ string, _ ext4.Attr, size int64, r io.Reader) error {
	holes, _ := r.(sparse.Reader)
	for pos := int64(0); pos < size; {
		if holes != nil {
			n, err := holes.Skip()
			if err != nil {
				return err
			}
			if pos += n; pos >= size {
				break
			}
		}
		n, err := r.Read(t.buf[:min(size-pos, int64(len(t.buf)))])
		if pos += int64(n); errors.Is(err, io.EOF) && pos < size {
			return io.ErrUnexpectedEOF
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
	}
	return nil
}
