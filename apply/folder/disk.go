package folder

import (
	"fmt"
	"io/fs"
	"syscall"
)

// DiskID says which file a user's disk is: "device:inode".
func DiskID(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d:%d", st.Dev, st.Ino)
}
