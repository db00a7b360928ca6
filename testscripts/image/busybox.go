package image

import (
	"archive/tar"
	"debug/elf"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// Busybox is a small root file system around the host's static busybox: its applets as links, the accounts root
// and app (1000), and the usual folders.
func Busybox(path string) ([]File, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read busybox (Debian package busybox-static): %w", err)
	}
	if err := static(path); err != nil {
		return nil, err
	}
	list, err := exec.Command(path, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list the applets of %s: %w", path, err)
	}
	files := []File{
		{Path: "bin/busybox", Mode: 0o755, Data: data},
		{Path: "etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n")},
		{Path: "etc/group", Mode: 0o644, Data: []byte("root:x:0:\napp:x:1000:\n")},
		{Path: "etc/os-release", Mode: 0o644, Data: []byte("ID=busybox\nPRETTY_NAME=\"BusyBox\"\n")},
		{Path: "home/app", Type: tar.TypeDir, Mode: 0o755, UID: 1000, GID: 1000},
		{Path: "root", Type: tar.TypeDir, Mode: 0o700},
		{Path: "tmp", Type: tar.TypeDir, Mode: 0o1777},
		{Path: "proc", Type: tar.TypeDir, Mode: 0o555},
		{Path: "sys", Type: tar.TypeDir, Mode: 0o555},
	}
	for _, applet := range strings.Fields(string(list)) {
		if applet != "busybox" {
			files = append(files, File{Path: "bin/" + applet, Type: tar.TypeSymlink, Mode: 0o777, Link: "busybox"})
		}
	}
	return files, nil
}

// static refuses a busybox that needs a loader: the image has none.
func static(path string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return fmt.Errorf("%s is linked dynamically; install the Debian package busybox-static", path)
		}
	}
	return nil
}
