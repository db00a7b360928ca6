package edit

import (
	"io"
	"maps"
	"slices"

	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

// Device is an image that can be changed in place. Sync returns when all that was written lies on the disk.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Sync() error
}

// Recover replays a dirty image's journal into the image and marks it empty. It can be broken off anywhere and done
// again. Inodes that are to be deleted or truncated are left to the kernel, as e2fsck's journal_only does.
func Recover(dev Device, size int64) error {
	f, err := read.Open(dev, size)
	if err != nil || f.Super.Incompat&super.NeedsRecovery == 0 {
		return err
	}
	j, err := f.Journal()
	if err != nil {
		return err
	}
	blocks, next, err := j.Replay()
	if err != nil {
		return err
	}
	over := &read.Overlay{R: dev, Size: f.BlockSize, Blocks: blocks}
	b := make([]byte, f.BlockSize)
	for _, n := range slices.Sorted(maps.Keys(blocks)) {
		if _, err := over.ReadAt(b, int64(n)*f.BlockSize); err != nil {
			return err
		}
		if _, err := dev.WriteAt(b, int64(n)*f.BlockSize); err != nil {
			return err
		}
	}
	if err := dev.Sync(); err != nil {
		return err
	}
	j.Start, j.Sequence = 0, next
	if err := WriteLogSuper(j, dev); err != nil {
		return err
	}
	if err := dev.Sync(); err != nil {
		return err
	}
	if f, err = read.Open(dev, size); err != nil {
		return err
	}
	f.Super.Incompat &^= super.NeedsRecovery
	if err := WriteSuper(dev, &f.Super); err != nil {
		return err
	}
	return dev.Sync()
}

// WriteLogSuper writes the journal's superblock to its place.
func WriteLogSuper(j *read.Journal, dev Device) error {
	at, err := j.Place(0)
	if err != nil {
		return err
	}
	j.SealSuper()
	_, err = dev.WriteAt(j.Super[:], at)
	return err
}

// WriteSuper writes the superblock to its place.
func WriteSuper(dev Device, s *super.Superblock) error {
	_, err := dev.WriteAt(s.Encode(), super.Offset)
	return err
}
