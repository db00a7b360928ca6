package edit

import (
	"fmt"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

// perDescriptor is how many tags a descriptor holds; the first is followed by the journal's UUID.
func perDescriptor(j *read.Journal) int {
	room := int(j.Image.BlockSize) - format.JournalHeader - 16
	if j.Csums() {
		room -= 4
	}
	return room / j.TagSize()
}

// fits says whether a transaction of so many blocks has room in the log.
func fits(j *read.Journal, blocks int) error {
	per := perDescriptor(j)
	need, have := blocks+(blocks+per-1)/per+1, int(j.End-j.First)
	if need > have {
		return fmt.Errorf("%w: it takes %d blocks of the journal, which has %d", ext4.ErrTooLarge, need, have)
	}
	return nil
}

// writeLog puts a transaction at the beginning of the empty log. It counts only when the log's superblock says so.
func writeLog(j *read.Journal, dev Device, blocks []uint64, over *read.Overlay, now format.Stamp) error {
	if j.Image.Csums() && !j.Csums() {
		j.Incompat |= format.JournalCsumV3 // as the kernel does at the first mount
	}
	if j.Image.Super.Incompat&super.Wide != 0 {
		j.Incompat |= format.Journal64Bit
	}
	if err := fits(j, len(blocks)); err != nil {
		return err
	}
	w := logWriter{j: j, dev: dev, next: j.First}
	for per := perDescriptor(j); len(blocks) > 0 && w.err == nil; {
		n := min(len(blocks), per)
		w.part(blocks[:n], over)
		blocks = blocks[n:]
	}
	b := w.header(format.JournalCommit)
	format.BE.PutUint64(b[format.CommitSec:], uint64(now.Sec))
	format.BE.PutUint32(b[format.CommitNsec:], now.Nsec)
	if j.Csums() {
		format.BE.PutUint32(b[format.CommitCsum:], j.BlockCsum(b, format.CommitCsum))
	}
	w.put(b)
	return w.err
}

type logWriter struct {
	j    *read.Journal
	dev  Device
	next uint32
	err  error
}

func (w *logWriter) header(kind uint32) []byte {
	b := make([]byte, w.j.Image.BlockSize)
	format.PutJournalHeader(b, kind, w.j.Sequence)
	return b
}

func (w *logWriter) put(b []byte) {
	if w.err != nil {
		return
	}
	at, err := w.j.Place(w.next)
	if err == nil {
		_, err = w.dev.WriteAt(b, at)
	}
	w.err = err
	w.next++
}

// part writes a descriptor and the blocks it names.
func (w *logWriter) part(blocks []uint64, over *read.Overlay) {
	j := w.j
	d := w.header(format.JournalDescriptor)
	at := format.JournalHeader
	data := make([][]byte, len(blocks))
	for i, n := range blocks {
		b, flags := over.Blocks[n].Data, uint32(0)
		if format.BE.Uint32(b) == format.JournalMagic {
			b = append(make([]byte, 4), b[4:]...)
			flags |= format.TagEscaped
		}
		if i > 0 {
			flags |= format.TagSameUUID
		}
		if i == len(blocks)-1 {
			flags |= format.TagLast
		}
		data[i] = b
		e := d[at:]
		format.BE.PutUint32(e, uint32(n))
		if j.Has(format.JournalCsumV3) {
			format.BE.PutUint32(e[4:], flags)
			format.BE.PutUint32(e[12:], j.DataCsum(b, j.Sequence))
		} else {
			format.BE.PutUint16(e[6:], uint16(flags))
			if j.Has(format.JournalCsumV2) {
				format.BE.PutUint16(e[4:], uint16(j.DataCsum(b, j.Sequence)))
			}
		}
		if j.Has(format.Journal64Bit) {
			format.BE.PutUint32(e[8:], uint32(n>>32))
		}
		at += j.TagSize()
		if i == 0 {
			at += copy(d[at:at+16], j.Super[format.JournalUUID:])
		}
	}
	if j.Csums() {
		format.BE.PutUint32(d[len(d)-4:], j.BlockCsum(d, len(d)-4))
	}
	w.put(d)
	for _, b := range data {
		w.put(b)
	}
}
