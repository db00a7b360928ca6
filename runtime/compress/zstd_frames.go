package compress

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"

	"github.com/klauspost/compress/zstd"
)

// zstdFrames decodes one frame after the other (RFC 8878, 3.1). Those of nothing but zeros, as ZstdWriter makes them, are
// counted and not decoded.
type zstdFrames struct {
	in    *bufio.Reader
	dec   *zstd.Decoder
	frame zstdFrame
	open  bool  // the decoder has a frame
	zeros int64 // that come next
}

func openZstd(in *bufio.Reader) (*zstdFrames, error) {
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
	return &zstdFrames{in: in, dec: dec}, err
}

func (z *zstdFrames) Read(p []byte) (int, error) {
	for {
		if z.open {
			n, err := z.dec.Read(p)
			if !errors.Is(err, io.EOF) {
				return n, err
			}
			if z.open = false; n > 0 {
				return n, nil
			}
		}
		if z.zeros > 0 {
			n := int(min(int64(len(p)), z.zeros))
			clear(p[:n])
			z.zeros -= int64(n)
			return n, nil
		}
		if err := z.next(); err != nil {
			return 0, err
		}
	}
}

// skip passes over zeros that begin here.
func (z *zstdFrames) skip() int64 {
	if z.open {
		return 0
	}
	if z.zeros == 0 {
		_ = z.next() // Read says what is wrong
	}
	n := z.zeros
	z.zeros = 0
	return n
}

// next begins a frame, or gives io.EOF where there is none.
func (z *zstdFrames) next() error {
	if z.open {
		return nil
	}
	if _, err := z.in.Peek(1); err != nil {
		return err
	}
	if z.zeros = z.zeroFrame(); z.zeros > 0 {
		return nil
	}
	z.frame = zstdFrame{in: z.in}
	z.open = true
	return z.dec.Reset(&z.frame)
}

// zeroFrame takes a frame of zeros and gives their number, 0 where another frame comes.
func (z *zstdFrames) zeroFrame() (zeros int64) {
	head, err := z.in.Peek(len(zeroHead) + 4)
	if err != nil || string(head[:len(zeroHead)]) != zeroHead || !isZeros(head[len(zeroHead):]) {
		return 0
	}
	all, _ := z.in.Peek(len(zeroHead) + 4*zeroPerHead)
	for at := len(zeroHead); at+4 <= len(all) && isZeros(all[at:]); at += 4 {
		block := binary.LittleEndian.Uint32(all[at:])
		zeros += int64(block >> 3)
		if block&1 != 0 {
			_, _ = z.in.Discard(at + 4)
			return zeros
		}
	}
	return 0
}

// isZeros says whether a block of zeros begins.
func isZeros(b []byte) bool {
	block := binary.LittleEndian.Uint32(b)
	size := block >> 3
	return block>>24 == 0 && block>>1&3 == blockRLE && size > 0 && size <= zeroBlock
}

// zstdFrame gives the bytes of one frame, whose end it knows by its blocks' headers. What is wrong with them is the decoder's to say.
type zstdFrame struct {
	in    *bufio.Reader
	begun bool
	check bool // a checksum follows the last block
	last  bool // what is left ends it
	left  int64
}

func (f *zstdFrame) Read(p []byte) (int, error) {
	if f.left == 0 {
		if f.last {
			return 0, io.EOF
		}
		f.step()
	}
	n, err := f.in.Read(p[:min(int64(len(p)), f.left)])
	f.left -= int64(n)
	return n, err
}

// rest is for what is no frame: the decoder gets all that comes.
const rest = 1<<63 - 1

// step looks at what comes next: a header of the frame, or a block.
func (f *zstdFrame) step() {
	if f.begun {
		head, err := f.in.Peek(3)
		if err != nil {
			f.left = rest
			return
		}
		block := uint32(head[0]) | uint32(head[1])<<8 | uint32(head[2])<<16
		f.last = block&1 != 0
		if f.left = 3 + int64(block>>3); block>>1&3 == blockRLE {
			f.left = 3 + 1
		}
		if f.last && f.check {
			f.left += 4
		}
		return
	}
	f.begun = true
	head, err := f.in.Peek(8)
	switch {
	case skippable(head) && err == nil:
		f.last, f.left = true, 8+int64(binary.LittleEndian.Uint32(head[4:]))
	case len(head) < 5 || Sniff(head) != Zstd || skippable(head):
		f.left = rest
	default:
		descriptor := head[4]
		f.check = descriptor&4 != 0
		f.left = 5 + int64([]int{0, 1, 2, 4}[descriptor&3]) + int64([]int{0, 2, 4, 8}[descriptor>>6])
		switch single := descriptor&0x20 != 0; {
		case !single:
			f.left++ // the window
		case descriptor>>6 == 0:
			f.left++ // a size of one byte
		}
	}
}
