package ext4

import (
	"fmt"

	"microagent/runtime/disk/ext4/super"
)

// perDescriptor is how many tags a descriptor holds; the first is followed by the journal's UUID.
func (j *journal) perDescriptor() int {
	room := int(j.fs.blockSize) - journalHeader - 16
	if j.csums() {
		room -= 4
	}
	return room / j.tagSize()
}

// fits says whether a transaction of so many blocks has room in the log.
func (j *journal) fits(blocks int) error {
	per := j.perDescriptor()
	need, have := blocks+(blocks+per-1)/per+1, int(j.end-j.first)
	if need > have {
		return fmt.Errorf("%w: it takes %d blocks of the journal, which has %d", ErrTooLarge, need, have)
	}
	return nil
}

// write puts a transaction at the beginning of the empty log. It counts only when the log's superblock says so.
func (j *journal) write(dev Device, blocks []uint64, over *overlay, now stamp) error {
	if j.fs.csums() && !j.csums() {
		j.incompat |= journalCsumV3 // as the kernel does at the first mount
	}
	if j.fs.super.Incompat&super.Wide != 0 {
		j.incompat |= journal64Bit
	}
	if err := j.fits(len(blocks)); err != nil {
		return err
	}
	w := logWriter{j: j, dev: dev, next: j.first}
	for per := j.perDescriptor(); len(blocks) > 0 && w.err == nil; {
		n := min(len(blocks), per)
		w.part(blocks[:n], over)
		blocks = blocks[n:]
	}
	b := w.header(journalCommit)
	be.PutUint64(b[0x30:], uint64(now.sec))
	be.PutUint32(b[0x38:], now.nsec)
	if j.csums() {
		be.PutUint32(b[0x10:], j.blockCsum(b, 0x10))
	}
	w.put(b)
	return w.err
}

type logWriter struct {
	j    *journal
	dev  Device
	next uint32
	err  error
}

func (w *logWriter) header(kind uint32) []byte {
	b := make([]byte, w.j.fs.blockSize)
	be.PutUint32(b, journalMagic)
	be.PutUint32(b[4:], kind)
	be.PutUint32(b[8:], w.j.sequence)
	return b
}

func (w *logWriter) put(b []byte) {
	if w.err != nil {
		return
	}
	at, err := w.j.place(w.next)
	if err == nil {
		_, err = w.dev.WriteAt(b, at)
	}
	w.err = err
	w.next++
}

// part writes a descriptor and the blocks it names.
func (w *logWriter) part(blocks []uint64, over *overlay) {
	j := w.j
	d := w.header(journalDescriptor)
	at := journalHeader
	data := make([][]byte, len(blocks))
	for i, n := range blocks {
		b, flags := over.blocks[n].data, uint32(0)
		if be.Uint32(b) == journalMagic {
			b = append(make([]byte, 4), b[4:]...)
			flags |= tagEscaped
		}
		if i > 0 {
			flags |= tagSameUUID
		}
		if i == len(blocks)-1 {
			flags |= tagLast
		}
		data[i] = b
		e := d[at:]
		be.PutUint32(e, uint32(n))
		if j.has(journalCsumV3) {
			be.PutUint32(e[4:], flags)
			be.PutUint32(e[12:], j.dataCsum(b, j.sequence))
		} else {
			be.PutUint16(e[6:], uint16(flags))
			if j.has(journalCsumV2) {
				be.PutUint16(e[4:], uint16(j.dataCsum(b, j.sequence)))
			}
		}
		if j.has(journal64Bit) {
			be.PutUint32(e[8:], uint32(n>>32))
		}
		at += j.tagSize()
		if i == 0 {
			at += copy(d[at:at+16], j.super[0x30:])
		}
	}
	if j.csums() {
		be.PutUint32(d[len(d)-4:], j.blockCsum(d, len(d)-4))
	}
	w.put(d)
	for _, b := range data {
		w.put(b)
	}
}
