package machine

import (
	"io"
	"os"
	"syscall"

	"microagent/runtime/layout"
)

// said is what a program said of its version, and which file it was then.
type said struct {
	Device  uint64 `json:"device"`
	Inode   uint64 `json:"inode"`
	Size    int64  `json:"size"`
	Mtime   int64  `json:"mtime"` // nanoseconds
	Ctime   int64  `json:"ctime"`
	Version string `json:"version"`
}

// remember gives what the program at path says of its version: what Versions has of it while it is the same file, and else what
// ask gives, which it has then. A script may run another program the next time, and is always asked. Without such a file, or where
// it can't or is not to be written, nothing is kept.
func (c Config) remember(path string, ask func() (string, error)) (string, error) {
	now, ok := identify(path)
	if c.Versions == "" || !ok {
		return ask()
	}
	known := map[string]said{}
	if err := layout.ReadJSON(c.Versions, &known); err != nil {
		clear(known)
	}
	was := known[path]
	now.Version = was.Version
	if was == now && was.Version != "" {
		return was.Version, nil
	}
	version, err := ask()
	if err != nil {
		return "", err
	}
	if c.ReadOnly {
		return version, nil
	}
	now.Version = version
	known[path] = now
	_ = layout.WriteJSON(c.Versions, known) // the next one asks again
	return version, nil
}

// identify says which file a program is; false for one that is no ELF file.
func identify(path string) (said, bool) {
	f, err := os.Open(path)
	if err != nil {
		return said{}, false
	}
	defer f.Close()
	magic := make([]byte, 4)
	if _, err := io.ReadFull(f, magic); err != nil || string(magic) != "\x7fELF" {
		return said{}, false
	}
	info, err := f.Stat()
	if err != nil {
		return said{}, false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return said{}, false
	}
	return said{Device: st.Dev, Inode: st.Ino, Size: st.Size, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano()}, true
}
