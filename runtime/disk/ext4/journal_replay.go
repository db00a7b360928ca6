package ext4

import (
	"io"
	"maps"
	"slices"

	"microagent/runtime/disk/ext4/super"
)

// Device is an image that can be changed in place. Sync returns when all that was written lies on the disk.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// OpenReplayed is Open that sees a dirty image as it is after its journal was replayed. The image itself is only
// read.
func OpenReplayed(r io.ReaderAt, size int64) (*FS, error) {
	f, err := Open(r, size)
	if err != nil || f.super.Incompat&super.NeedsRecovery == 0 {
		return f, err
	}
	j, err := f.journal()
	if err != nil {
		return nil, err
	}
	blocks, _, err := j.replay()
	if err != nil {
		return nil, err
	}
	if f, err = Open(&overlay{r: r, size: f.blockSize, blocks: blocks}, size); err != nil {
		return nil, err
	}
	f.super.Incompat &^= super.NeedsRecovery
	return f, nil
}

// Recover replays a dirty image's journal into the image and marks it empty. It can be broken off anywhere and done
// again. Inodes that are to be deleted or truncated are left to the kernel, as e2fsck's journal_only does.
func Recover(dev Device, size int64) error {
	f, err := Open(dev, size)
	if err != nil || f.super.Incompat&super.NeedsRecovery == 0 {
		return err
	}
	j, err := f.journal()
	if err != nil {
		return err
	}
	blocks, next, err := j.replay()
	if err != nil {
		return err
	}
	over := &overlay{r: dev, size: f.blockSize}
	b := make([]byte, f.blockSize)
	for _, n := range slices.Sorted(maps.Keys(blocks)) {
		if err := over.read(b, blocks[n], 0); err != nil {
			return err
		}
		if _, err := dev.WriteAt(b, int64(n)*f.blockSize); err != nil {
			return err
		}
	}
	if err := dev.Sync(); err != nil {
		return err
	}
	j.start, j.sequence = 0, next
	if err := j.writeSuper(dev); err != nil {
		return err
	}
	if err := dev.Sync(); err != nil {
		return err
	}
	if f, err = Open(dev, size); err != nil {
		return err
	}
	f.super.Incompat &^= super.NeedsRecovery
	if err := writeSuper(dev, &f.super); err != nil {
		return err
	}
	return dev.Sync()
}

func (j *journal) writeSuper(dev Device) error {
	at, err := j.place(0)
	if err != nil {
		return err
	}
	j.sealSuper()
	_, err = dev.WriteAt(j.super[:], at)
	return err
}

// writeSuper writes the superblock to its place.
func writeSuper(dev Device, s *super.Superblock) error {
	_, err := dev.WriteAt(s.Encode(), super.Offset)
	return err
}

// replay reads the log: which blocks of the file system it replaces by what, and the sequence number that comes
// next. Passes as in fs/jbd2/recovery.c: where the log ends, what is revoked, what is left.
func (j *journal) replay() (map[uint64]replaced, uint32, error) {
	if j.start == 0 {
		return nil, j.sequence + 1, nil
	}
	w := logWalk{j: j, revoked: map[uint64]uint32{}, blocks: map[uint64]replaced{}}
	for w.pass = passScan; w.pass <= passReplay; w.pass++ {
		if err := w.run(); err != nil {
			return nil, 0, err
		}
	}
	return w.blocks, w.end + 1, nil
}

type pass int

const (
	passScan pass = iota
	passRevoke
	passReplay
)

// logWalk goes through the log, once for each pass.
type logWalk struct {
	j       *journal
	pass    pass
	end     uint32            // sequence of the first transaction that is not there
	revoked map[uint64]uint32 // last transaction in which a block was revoked
	blocks  map[uint64]replaced
	next    uint32 // block of the log
	passed  uint32 // blocks
}

// step moves on by blocks, around the end. A log that is longer than its ring is corrupt.
func (w *logWalk) step(n uint32) error {
	ring := w.j.end - w.j.first
	if n > ring || w.passed > ring-n {
		return corruptf("the journal has no end")
	}
	w.passed += n
	if w.next += n; w.next >= w.j.end {
		w.next -= ring
	}
	return nil
}

func (w *logWalk) run() error {
	j := w.j
	w.next, w.passed = j.start, 0
	sequence := j.sequence
	suspect, lastCommit := false, uint64(0)
	b := make([]byte, j.fs.blockSize)
	for w.pass == passScan || sequence != w.end {
		at, err := j.place(w.next)
		if err != nil {
			return err
		}
		if err := readFull(j.fs.r, b, at); err != nil {
			return err
		}
		if be.Uint32(b) != journalMagic || be.Uint32(b[8:]) != sequence || w.pass == passScan && w.passed == j.end-j.first {
			break
		}
		if err := w.step(1); err != nil {
			return err
		}
		kind := be.Uint32(b[4:])
		switch kind {
		case journalDescriptor, journalRevoke:
			if !j.tailOK(b) {
				// The ring can hold blocks of its former lives; the commit behind them tells.
				if w.pass != passScan {
					return corruptf("checksum of journal block %d", w.next)
				}
				suspect = true
			}
			if err := w.block(b, kind, sequence, suspect); err != nil {
				return err
			}
		case journalCommit:
			if w.pass == passScan {
				when := be.Uint64(b[0x30:])
				if suspect && when >= lastCommit && j.commitOK(b) {
					return corruptf("checksum in transaction %d of the journal", sequence)
				}
				if suspect || !j.commitOK(b) {
					w.end = sequence
					return nil
				}
				lastCommit = when
			}
			sequence++
			continue
		default:
			kind = 0
		}
		if kind == 0 {
			break
		}
	}
	if w.pass == passScan {
		w.end = sequence
	} else if sequence != w.end {
		return corruptf("the journal ends at transaction %d, not %d", sequence, w.end)
	}
	return nil
}

// block is what a pass does with a descriptor or revoke block.
func (w *logWalk) block(b []byte, kind, sequence uint32, suspect bool) error {
	if kind == journalRevoke {
		if w.pass != passRevoke {
			return nil
		}
		list, err := w.j.revoked(b)
		for _, n := range list {
			w.revoked[n] = sequence // transactions come in their order
		}
		return err
	}
	tags := w.j.tags(b)
	if w.pass != passReplay {
		err := w.step(uint32(len(tags)))
		if suspect {
			return nil
		}
		return err
	}
	for _, t := range tags {
		if err := w.replay(t, sequence); err != nil {
			return err
		}
	}
	return nil
}

func (w *logWalk) replay(t tag, sequence uint32) error {
	j := w.j
	at, err := j.place(w.next)
	if err != nil {
		return err
	}
	if err := w.step(1); err != nil {
		return err
	}
	if last, ok := w.revoked[t.block]; ok && int32(last-sequence) >= 0 {
		return nil
	}
	if t.block >= j.fs.super.Blocks {
		return corruptf("the journal has block %d, which the file system has not", t.block)
	}
	if j.csums() {
		b := make([]byte, j.fs.blockSize)
		if err := readFull(j.fs.r, b, at); err != nil {
			return err
		}
		if j.dataCsum(b, sequence) != t.csum {
			return corruptf("checksum of a block in transaction %d of the journal", sequence)
		}
	}
	w.blocks[t.block] = replaced{at: at, escaped: t.escaped}
	return nil
}
