package edit

import (
	"microagent/runtime/disk/ext4/format"
	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/disk/ext4/super"
)

// Identifiable says whether the file system can get another UUID by its superblocks alone: none of its checksums and no key
// of its encryption is made of the one it has.
func Identifiable(s *super.Superblock) bool {
	if s.Compat&super.StableInodes != 0 {
		return false
	}
	return s.Incompat&super.MetadataCsumSeed != 0 || s.ROCompat&(super.MetadataCsum|super.UninitBG) == 0
}

// Identify gives the file system of an image of size bytes that nobody uses, and whose journal is empty, the UUID and the
// label, in its superblock and in all copies of it; the label is kept where it is empty. changed is false, and nothing is
// written, where the file system is not Identifiable.
func Identify(dev Device, size int64, uuid [16]byte, label string) (changed bool, err error) {
	f, err := read.Open(dev, size)
	if err != nil {
		return false, err
	}
	if f.Super.NeedsRecovery() {
		return false, format.Corruptf("its journal is not empty")
	}
	if !Identifiable(&f.Super) {
		return false, nil
	}
	old := f.Super.UUID
	name := func(s *super.Superblock) {
		s.UUID = uuid
		if label != "" {
			s.Label = [16]byte{}
			copy(s.Label[:], label)
		}
	}
	for g := uint64(1); g < f.Groups; g++ {
		if !f.Super.HasCopy(g) {
			continue
		}
		at := int64(uint64(f.Super.FirstDataBlock)+g*uint64(f.Super.BlocksPerGroup)) * f.BlockSize
		var b [super.Size]byte
		if err := format.ReadFull(dev, b[:], at); err != nil {
			return false, err
		}
		spare, err := super.Parse(b[:])
		if err != nil || spare.UUID != old || !spare.ChecksumOK() {
			continue // no copy: e2fsck does without it, too
		}
		name(&spare)
		if _, err := dev.WriteAt(spare.Encode(), at); err != nil {
			return false, err
		}
	}
	name(&f.Super)
	return true, WriteSuper(dev, &f.Super)
}
