package compress

import (
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/zstd"
)

// ZstdWriter writes a zstd stream of which long runs of zeros cost next to nothing: they are frames of their own, of blocks
// that repeat one byte (RFC 8878, 3.1.1.2.2). Whoever reads frames one after the other, as zstd -d does, gets all bytes.
type ZstdWriter struct {
	w     io.Writer
	enc   *zstd.Encoder
	open  bool  // a frame of data has begun
	zeros int64 // that were not written yet
}

const (
	// zeroRun is how many zeros are worth ending a frame for.
	zeroRun = 1 << 20
	// zeroBlock is what one block can repeat, with a window as large.
	zeroBlock   = 128 << 10
	zeroPerHead = 1 << 10 // blocks in one frame
	// zeroHead begins a frame of zeros: magic number, a header without sizes or checksum, a window of 128 KiB.
	zeroHead = "\x28\xB5\x2F\xFD\x00\x38"
	// blockRLE is the type of a block that repeats one byte.
	blockRLE = 1
)

// NewZstd writes to w at the level of zstd -3. On one core: the encoder takes longer on two, of what is copied between them.
func NewZstd(w io.Writer) (*ZstdWriter, error) {
	enc, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedDefault))
	if err != nil {
		return nil, err
	}
	return &ZstdWriter{w: w, enc: enc}, nil
}

// Write adds bytes.
func (z *ZstdWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := z.settle(); err != nil {
		return 0, err
	}
	if !z.open {
		z.enc.Reset(z.w)
		z.open = true
	}
	return z.enc.Write(p)
}

// Zeros adds n zeros.
func (z *ZstdWriter) Zeros(n int64) { z.zeros += n }

// settle writes the zeros that were added.
func (z *ZstdWriter) settle() error {
	n := z.zeros
	if z.zeros = 0; n == 0 {
		return nil
	}
	if n < zeroRun && z.open {
		var b [4 << 10]byte
		for ; n > 0; n -= min(n, int64(len(b))) {
			if _, err := z.enc.Write(b[:min(n, int64(len(b)))]); err != nil {
				return err
			}
		}
		return nil
	}
	if err := z.end(); err != nil {
		return err
	}
	for n > 0 {
		frame := []byte(zeroHead)
		for range zeroPerHead {
			k := min(n, zeroBlock)
			n -= k
			frame = binary.LittleEndian.AppendUint32(frame, uint32(k)<<3|blockRLE<<1) // a block's size, and that it is a byte repeated
			frame[len(frame)-1] = 0                                                   // that byte
			if n == 0 {
				break
			}
		}
		frame[len(frame)-4] |= 1 // the last block
		if _, err := z.w.Write(frame); err != nil {
			return err
		}
	}
	return nil
}

// end ends the frame of data.
func (z *ZstdWriter) end() error {
	if !z.open {
		return nil
	}
	z.open = false
	return z.enc.Close()
}

// Close ends the stream. It does not close w.
func (z *ZstdWriter) Close() error {
	if err := z.settle(); err != nil {
		return err
	}
	return z.end()
}
