package read

import (
	"io"

	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/super"
)

// OpenReplayed is Open that sees a dirty image as it is after its journal was replayed. The image itself is only
// read.
func OpenReplayed(r io.ReaderAt, size int64) (*FS, error) {
	f, err := Open(r, size)
	if err != nil || f.Super.Incompat&super.NeedsRecovery == 0 {
		return f, err
	}
	j, err := f.Journal()
	if err != nil {
		return nil, err
	}
	blocks, _, err := j.Replay()
	if err != nil {
		return nil, err
	}
	if f, err = Open(&Overlay{R: r, Size: f.BlockSize, Blocks: blocks}, size); err != nil {
		return nil, err
	}
	f.Super.Incompat &^= super.NeedsRecovery
	return f, nil
}

// Replay reads the log: which blocks of the file system it replaces by what, and the sequence number that comes
// next. Passes as in fs/jbd2/recovery.c: where the log ends, what is revoked, what is left.
func (j *Journal) Replay() (map[uint64]Replaced, uint32, error) {
	if j.Start == 0 {
		return nil, j.Sequence + 1, nil
	}
	w := logWalk{j: j, revoked: map[uint64]uint32{}, blocks: map[uint64]Replaced{}}
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
	j       *Journal
	pass    pass
	end     uint32            // sequence of the first transaction that is not there
	revoked map[uint64]uint32 // last transaction in which a block was revoked
	blocks  map[uint64]Replaced
	next    uint32 // block of the log
	passed  uint32 // blocks
}

// step moves on by blocks, around the end. A log that is longer than its ring is corrupt.
func (w *logWalk) step(n uint32) error {
	ring := w.j.End - w.j.First
	if n > ring || w.passed > ring-n {
		return format.Corruptf("the journal has no end")
	}
	w.passed += n
	if w.next += n; w.next >= w.j.End {
		w.next -= ring
	}
	return nil
}

func (w *logWalk) run() error {
	j := w.j
	w.next, w.passed = j.Start, 0
	sequence := j.Sequence
	suspect, lastCommit := false, uint64(0)
	b := make([]byte, j.Image.BlockSize)
	for w.pass == passScan || sequence != w.end {
		at, err := j.Place(w.next)
		if err != nil {
			return err
		}
		if err := format.ReadFull(j.Image.R, b, at); err != nil {
			return err
		}
		if format.BE.Uint32(b) != format.JournalMagic || format.BE.Uint32(b[format.JournalHeaderSequence:]) != sequence || w.pass == passScan && w.passed == j.End-j.First {
			break
		}
		if err := w.step(1); err != nil {
			return err
		}
		kind := format.BE.Uint32(b[format.JournalKind:])
		switch kind {
		case format.JournalDescriptor, format.JournalRevoke:
			if !j.tailOK(b) {
				// The ring can hold blocks of its former lives; the commit behind them tells.
				if w.pass != passScan {
					return format.Corruptf("checksum of journal block %d", w.next)
				}
				suspect = true
			}
			if err := w.block(b, kind, sequence, suspect); err != nil {
				return err
			}
		case format.JournalCommit:
			if w.pass == passScan {
				when := format.BE.Uint64(b[format.CommitSec:])
				if suspect && when >= lastCommit && j.commitOK(b) {
					return format.Corruptf("checksum in transaction %d of the journal", sequence)
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
		return format.Corruptf("the journal ends at transaction %d, not %d", sequence, w.end)
	}
	return nil
}

// block is what a pass does with a descriptor or revoke block.
func (w *logWalk) block(b []byte, kind, sequence uint32, suspect bool) error {
	if kind == format.JournalRevoke {
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
	at, err := j.Place(w.next)
	if err != nil {
		return err
	}
	if err := w.step(1); err != nil {
		return err
	}
	if last, ok := w.revoked[t.block]; ok && int32(last-sequence) >= 0 {
		return nil
	}
	if t.block >= j.Image.Super.Blocks {
		return format.Corruptf("the journal has block %d, which the file system has not", t.block)
	}
	if j.Csums() {
		b := make([]byte, j.Image.BlockSize)
		if err := format.ReadFull(j.Image.R, b, at); err != nil {
			return err
		}
		if j.DataCsum(b, sequence) != t.csum {
			return format.Corruptf("checksum of a block in transaction %d of the journal", sequence)
		}
	}
	w.blocks[t.block] = Replaced{at: at, escaped: t.escaped}
	return nil
}
