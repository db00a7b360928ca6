package super

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// The block of multi-mount protection, struct mmp_struct of fs/ext4/ext4.h.
const (
	mmpMagic         = 0x004D4D50
	mmpSequenceAt    = 4
	mmpCheckAt       = 112
	mmpSize          = 1024
	mmpClean         = 0xFF4D4D50 // the sequence of a file system that was unmounted
	mmpFsck          = 0xE24D4D50 // and of one that is being checked: it is refused at once
	mmpLeastInterval = 5          // seconds
)

// MMPWait is how long a kernel waits before it mounts the file system for writing, to see whether another one still
// writes to it: zero where the last one that did unmounted it. It waits twice, min(2n+1, n+60) seconds each, as
// ext4_multi_mount_protect in fs/ext4/mmp.c does. r holds the file system.
func (s *Superblock) MMPWait(r io.ReaderAt) (time.Duration, error) {
	if s.Incompat&MMP == 0 || s.MMPBlock >= s.Blocks {
		return 0, nil
	}
	b := make([]byte, mmpSize)
	if _, err := r.ReadAt(b, int64(s.MMPBlock)*s.BlockSize()); err != nil {
		return 0, fmt.Errorf("read the block of its mmp: %w", err)
	}
	sequence := binary.LittleEndian.Uint32(b[mmpSequenceAt:])
	if binary.LittleEndian.Uint32(b) != mmpMagic || sequence == mmpClean || sequence == mmpFsck {
		return 0, nil
	}
	interval := max(uint(s.MMPInterval), uint(binary.LittleEndian.Uint16(b[mmpCheckAt:])), mmpLeastInterval)
	return 2 * time.Second * time.Duration(min(2*interval+1, interval+60)), nil
}

// MMPReason says what a mount waits for that MMPWait told of.
func MMPReason(wait time.Duration) string {
	return fmt.Sprintf("it has multiple mount protection (mmp) and was not unmounted, so the kernel waits %s to see that nobody else writes to it", wait)
}
