package ext4

import (
	"fmt"
	"maps"
	"slices"
	"time"

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
	*FS
	dev    Device
	over   *overlay
	log    *journal
	groups map[uint64]*editGroup
	goal   uint64 // where content goes on
	least  uint64 // blocks in a run that are worth taking for content
	now    stamp
	clean  super.Superblock // as it lies on the disk
}

// Edit opens an image for changes, whose caller must be its only user. A dirty journal is replayed first.
// ErrUnsupported says why a file system can't be changed without a kernel.
func Edit(dev Device, size int64, now time.Time) (*Editor, error) {
	if err := Recover(dev, size); err != nil {
		return nil, err
	}
	f, err := Open(dev, size)
	if err != nil {
		return nil, err
	}
	if err := f.editable(); err != nil {
		return nil, err
	}
	j, err := f.journal()
	if err != nil {
		return nil, err
	}
	if be.Uint32(j.super[4:]) != journalSuperV2 {
		return nil, unsupportedf("a journal of the first version")
	}
	if j.start != 0 { // left behind, not to be replayed: the kernel passes over it as well
		if _, j.sequence, err = j.replay(); err != nil {
			return nil, err
		}
		j.start = 0
	}
	e := &Editor{FS: f, dev: dev, log: j, groups: map[uint64]*editGroup{}, least: 256, now: stampOf(now), clean: f.super}
	e.over = &overlay{r: dev, size: f.blockSize, blocks: map[uint64]replaced{}}
	f.r = e.over
	return e, e.count()
}

func (f *FS) editable() error {
	s := &f.super
	switch {
	case s.State&stateErrors != 0:
		return corruptf("the kernel marked the file system as having errors")
	case s.Compat&super.HasJournal == 0:
		return unsupportedf("a file system without a journal can't be changed safely")
	case s.Incompat&^editableIncompat != 0:
		return unsupportedf("features that can't be written without a kernel: %v", s.Incompat&^editableIncompat)
	case s.Incompat&neededIncompat != neededIncompat:
		return unsupportedf("a file system without the features %v can't be written without a kernel", neededIncompat&^s.Incompat)
	case s.ROCompat&^editableRO != 0:
		return unsupportedf("features that can't be written without a kernel: %v", s.ROCompat&^editableRO)
	case f.blockSize > BlockSize:
		return unsupportedf("blocks of %d bytes can't be written", f.blockSize)
	}
	return nil
}

// count takes the free counts from the descriptors: those of the superblock are stale after a crash.
func (e *Editor) count() error {
	e.super.FreeBlocks, e.super.FreeInodes = 0, 0
	for g := range e.FS.groups {
		d, err := e.group(g)
		if err != nil {
			return err
		}
		e.super.FreeBlocks += uint64(d.freeBlocks)
		e.super.FreeInodes += d.freeInodes
	}
	return nil
}

// edit is a block of metadata that can be changed.
func (e *Editor) edit(n uint64) ([]byte, error) {
	if b, ok := e.over.blocks[n]; ok {
		return b.data, nil
	}
	if n >= e.super.Blocks {
		return nil, corruptf("block %d", n)
	}
	b := make([]byte, e.blockSize)
	if err := readFull(e.dev, b, int64(n)*e.blockSize); err != nil {
		return nil, err
	}
	e.over.blocks[n] = replaced{data: b}
	return b, nil
}

// fresh is a new block of metadata, all zeros.
func (e *Editor) fresh(n uint64) []byte {
	b := make([]byte, e.blockSize)
	e.over.blocks[n] = replaced{data: b}
	return b
}

// Full says that it is time for a Commit: another file might not fit into the journal with what is there.
func (e *Editor) Full() bool {
	n := len(e.over.blocks)
	for _, g := range e.groups {
		if g.changed {
			n += 3
		}
	}
	return e.log.fits(4*n+64) != nil
}

// Commit makes what was done since the last one true and durable. After an error the Editor is of no use; the next
// replay finds the state before or after. ErrTooLarge, and nothing was changed, when the journal is too small for it.
func (e *Editor) Commit() error {
	if err := e.settle(); err != nil {
		return err
	}
	if len(e.over.blocks) == 0 {
		return nil
	}
	if err := e.log.fits(len(e.over.blocks)); err != nil {
		return err
	}
	blocks := slices.Sorted(maps.Keys(e.over.blocks))
	if err := e.log.write(e.dev, blocks, e.over, e.now); err != nil {
		return fmt.Errorf("write to the journal: %w", err)
	}
	// A replay is asked for, and finds an empty journal until its superblock says that there is something. The two
	// are never written in one go: a journal with content that no replay is asked for is no state that e2fsck mends.
	e.clean.Incompat |= super.NeedsRecovery
	if err := writeSuper(e.dev, &e.clean); err != nil {
		return fmt.Errorf("write the superblock: %w", err)
	}
	if err := e.dev.Sync(); err != nil {
		return fmt.Errorf("bring content and journal to the disk: %w", err)
	}
	e.log.start = e.log.first
	if err := e.log.writeSuper(e.dev); err != nil {
		return fmt.Errorf("write the journal's superblock: %w", err)
	}
	if err := e.dev.Sync(); err != nil {
		return fmt.Errorf("bring the transaction to the disk: %w", err)
	}
	for _, n := range blocks {
		if _, err := e.dev.WriteAt(e.over.blocks[n].data, int64(n)*e.blockSize); err != nil {
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
	e.log.start = 0
	e.log.sequence++
	if err := e.log.writeSuper(e.dev); err != nil {
		return fmt.Errorf("write the journal's superblock: %w", err)
	}
	if err := e.dev.Sync(); err != nil {
		return fmt.Errorf("bring the journal's superblock to the disk: %w", err)
	}
	e.super.Incompat &^= super.NeedsRecovery
	if err := writeSuper(e.dev, &e.super); err != nil {
		return fmt.Errorf("write the superblock: %w", err)
	}
	e.clean = e.super
	clear(e.over.blocks)
	for _, g := range e.groups {
		g.committed()
	}
	return nil
}

// settle brings bitmaps, descriptors and superblock into the transaction.
func (e *Editor) settle() error {
	changed := len(e.over.blocks) > 0
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
	b, err := e.edit(uint64(super.Offset / e.blockSize))
	if err != nil {
		return err
	}
	e.super.LastWrite = e.now.sec
	e.super.Incompat |= super.NeedsRecovery
	copy(b[super.Offset%e.blockSize:], e.super.Encode())
	return nil
}
