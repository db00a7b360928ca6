package initd

import "testing"

func TestExt4Message(t *testing.T) {
	for record, want := range map[string]string{
		"3,501,1234,-;EXT4-fs (vdb): bad block size 65536\n":                                                                             "bad block size 65536",
		"4,502,1234,-;EXT4-fs warning (device vdb): ext4_multi_mount_protect:324: fsck is running on the filesystem\n SUBSYSTEM=block\n": "ext4_multi_mount_protect:324: fsck is running on the filesystem",
		"3,503,1234,-;EXT4-fs (vda): bad block size 65536\n":                                                                             "",
		"3,503,1234,-;EXT4-fs (vdbb): bad block size 65536\n":                                                                            "",
		"3,504,1234,-;JBD2: no valid journal superblock found\n":                                                                         "no valid journal superblock found",
		"6,505,1234,-;virtio_blk virtio3: [vdb] 32768 512-byte logical blocks\n":                                                         "",
		"EXT4-fs (vdb): no record\n":                                                                                                     "",
	} {
		got, ok := ext4Message([]byte(record), "vdb")
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", record, got, ok)
		}
	}
}
