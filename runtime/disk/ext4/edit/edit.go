// Package edit changes ext4 file systems in place, ones that nobody else uses. Recover brings to its place what a journal
// holds. The Editor adds, replaces and removes files: what it does between two Commits becomes true by one transaction in
// the file system's own journal, so that whenever it is broken off, the next replay, ours or a kernel's, gives the state
// before or the one after. It never touches a file system with a feature that it does not know how to keep.
package edit

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

const (
	editableIncompat = super.Filetype | super.NeedsRecovery | super.MetaBG | super.Extents | super.Wide | super.FlexBG |
		super.XattrInode | super.MetadataCsumSeed | super.LargeDir | super.InlineData | super.Encrypt
	neededIncompat = super.Filetype | super.Extents
	editableRO     = super.SparseSuper | super.LargeFile | super.BtreeDir | super.HugeFile | super.DirNlink | super.ExtraIsize | super.MetadataCsum | super.Verity
)

// Editor changes a file system in place. What it does between two Commits becomes true by one transaction in the file
// system's own journal: whenever it is broken off, the next replay gives the state before or the state after. Content
// of files goes straight to blocks that were free in the state before. Its FS shows the state to come.
type Editor struct {
	*read.FS
	dev    Device
	over   *read.Overlay
	log    *read.Journal
	groups map[uint64]*editGroup
	goal   uint64 // where content goes on
	least  uint64 // blocks in a run that are worth taking for content
	now    format.Stamp
	clean  super.Superblock // as it lies on the disk
}

// Open opens an image for changes, whose caller must be its only user. A dirty journal is replayed first.
// ErrUnsupported says why a file system can't be changed without a kernel.
func Open(dev Device, size int64, now time.Time) (*Editor, error) {
	if err := Recover(dev, size); err != nil {
		return nil, err
	}
	f, err := read.Open(dev, size)
	if err != nil {
		return nil, err
	}
	if err := editable(f); err != nil {
		return nil, err
	}
	j, err := f.Journal()
	if err != nil {
		return nil, err
	}
	if format.BE.Uint32(j.Super[4:]) != format.JournalSuperV2 {
		return nil, format.Unsupportedf("a journal of the first version")
	}
	if j.Start != 0 { // left behind, not to be replayed: the kernel passes over it as well
		if _, j.Sequence, err = j.Replay(); err != nil {
			return nil, err
		}
		j.Start = 0
	}
	e := &Editor{FS: f, dev: dev, log: j, groups: map[uint64]*editGroup{}, least: 256, now: format.StampOf(now), clean: f.Super}
	e.over = &read.Overlay{R: dev, Size: f.BlockSize, Blocks: map[uint64]read.Replaced{}}
	f.R = e.over
	return e, e.count()
}

func editable(f *read.FS) error {
	s := &f.Super
	switch {
	case s.State&format.StateErrors != 0:
		return format.Corruptf("the kernel marked the file system as having errors")
	case s.Compat&super.HasJournal == 0:
		return format.Unsupportedf("a file system without a journal can't be changed safely")
	case s.Incompat&^editableIncompat != 0:
		return format.Unsupportedf("features that can't be written without a kernel: %v", s.Incompat&^editableIncompat)
	case s.Incompat&neededIncompat != neededIncompat:
		return format.Unsupportedf("a file system without the features %v can't be written without a kernel", neededIncompat&^s.Incompat)
	case s.ROCompat&^editableRO != 0:
		return format.Unsupportedf("features that can't be written without a kernel: %v", s.ROCompat&^editableRO)
	case f.BlockSize > ext4.BlockSize:
		return format.Unsupportedf("blocks of %d bytes can't be written", f.BlockSize)
	}
	return nil
}

// count takes the free counts from the descriptors: those of the superblock are stale after a crash.
func (e *Editor) count() error {
	e.Super.FreeBlocks, e.Super.FreeInodes = 0, 0
	for g := range e.FS.Groups {
		d, err := e.Group(g)
		if err != nil {
			return err
		}
		e.Super.FreeBlocks += uint64(d.FreeBlocks)
		e.Super.FreeInodes += d.FreeInodes
	}
	return nil
}

// edit is a block of metadata that can be changed.
func (e *Editor) edit(n uint64) ([]byte, error) {
	if b, ok := e.over.Blocks[n]; ok {
		return b.Data, nil
	}
	if n >= e.Super.Blocks {
		return nil, format.Corruptf("block %d", n)
	}
	b := make([]byte, e.BlockSize)
	if err := format.ReadFull(e.dev, b, int64(n)*e.BlockSize); err != nil {
		return nil, err
	}
	e.over.Blocks[n] = read.Replaced{Data: b}
	return b, nil
}

// fresh is a new block of metadata, all zeros.
func (e *Editor) fresh(n uint64) []byte {
	b := make([]byte, e.BlockSize)
	e.over.Blocks[n] = read.Replaced{Data: b}
	return b
}

// Full says that it is time for a Commit: another file might not fit into the journal with what is there.
func (e *Editor) Full() bool {
	n := len(e.over.Blocks)
	for _, g := range e.groups {
		if g.changed {
			n += 3
		}
	}
	return fits(e.log, 4*n+64) != nil
}

// Commit makes what was done since the last one true and durable. After an error the Editor is of no use; the next
// replay finds the state before or after. ErrTooLarge, and nothing was changed, when the journal is too small for it.
func (e *Editor) Commit() error {
	if err := e.settle(); err != nil {
		return err
	}
	if len(e.over.Blocks) == 0 {
		return nil
	}
	if err := fits(e.log, len(e.over.Blocks)); err != nil {
		return err
	}
	blocks := slices.Sorted(maps.Keys(e.over.Blocks))
	if err := writeLog(e.log, e.dev, blocks, e.over, e.now); err != nil {
		return fmt.Errorf("write to the journal: %w", err)
	}
	// A replay is asked for, and finds an empty journal until its superblock says that there is something. The two
	// are never written in one go: a journal with content that no replay is asked for is no state that e2fsck mends.
	e.clean.Incompat |= super.NeedsRecovery
	if err := WriteSuper(e.dev, &e.clean); err != nil {
		return fmt.Errorf("write the superblock: %w", err)
	}
	if err := e.dev.Sync(); err != nil {
		return fmt.Errorf("bring content and journal to the disk: %w", err)
	}
	e.log.Start = e.log.First
	if err := WriteLogSuper(e.log, e.dev); err != nil {
		return fmt.Errorf("write the journal's superblock: %w", err)
	}
	if err := e.dev.Sync(); err != nil {
		return fmt.Errorf("bring the transaction to the disk: %w", err)
	}
	for _, n := range blocks {
		if _, err := e.dev.WriteAt(e.over.Blocks[n].Data, int64(n)*e.BlockSize); err != nil {
			return fmt.Errorf("write block %d: %w", n, err)
		}
	}
	if err := e.dev.Sync(); err != nil {
		return fmt.Errorf("bring blocks to the disk: %w", err)
	}
	return e.finish()
}

// finish marks the journal empty, then the file system clean. Nothing waits for the latter.
func (e *Editor) finish() error {
	e.log.Start = 0
	e.log.Sequence++
	if err := WriteLogSuper(e.log, e.dev); err != nil {
		return fmt.Errorf("write the journal's superblock: %w", err)
	}
	if err := e.dev.Sync(); err != nil {
		return fmt.Errorf("bring the journal's superblock to the disk: %w", err)
	}
	e.Super.Incompat &^= super.NeedsRecovery
	if err := WriteSuper(e.dev, &e.Super); err != nil {
		return fmt.Errorf("write the superblock: %w", err)
	}
	e.clean = e.Super
	clear(e.over.Blocks)
	for _, g := range e.groups {
		g.committed()
	}
	return nil
}

// settle brings bitmaps, descriptors and superblock into the transaction.
func (e *Editor) settle() error {
	changed := len(e.over.Blocks) > 0
	for _, n := range slices.Sorted(maps.Keys(e.groups)) {
		if g := e.groups[n]; g.changed {
			changed = true
			if err := e.settleGroup(n, g); err != nil {
				return err
			}
		}
	}
	if !changed {
		return nil
	}
	b, err := e.edit(uint64(super.Offset / e.BlockSize))
	if err != nil {
		return err
	}
	e.Super.LastWrite = e.now.Sec
	e.Super.Incompat |= super.NeedsRecovery
	copy(b[super.Offset%e.BlockSize:], e.Super.Encode())
	return nil
}
