package initd

import "testing"

func TestExt4Message(t *testing.T) {
	for line, want := range map[string]string{
		"EXT4-fs (vdb): bad block size 65536": "bad block size 65536",
		"EXT4-fs warning (device vdb): ext4_multi_mount_protect:324: fsck is running on the filesystem": "ext4_multi_mount_protect:324: fsck is running on the filesystem",
		"EXT4-fs (vda): bad block size 65536":                     "",
		"EXT4-fs (vdbb): bad block size 65536":                    "",
		"JBD2: no valid journal superblock found":                 "no valid journal superblock found",
		"virtio_blk virtio3: [vdb] 32768 512-byte logical blocks": "",
		"EXT4 (vdb): of another":                                  "",
	} {
		got, ok := ext4Message(line, "vdb")
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", line, got, ok)
		}
	}
}
