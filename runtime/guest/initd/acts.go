package initd

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/agent"
	"microagent/schema/spec"
)

// act makes the guest what the keys of a manifest say that it is, once everything is mounted; name is its host name where
// they give none. What can't be done is told in the log, and the guest comes up all the same.
func act(log *agent.Log, g spec.Guest, name string) {
	own := name
	if g.Hostname != "" {
		name = g.Hostname
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		log.Printf("hostname %q: %v", name, err)
	}
	if g.Hostname == "" {
		return
	}
	for _, f := range []file{{"/etc/hostname", name + "\n"}, {"/etc/hosts", hosts(name, own, content("/etc/hosts"))}} {
		if err := cover(f.path, f.content); err != nil {
			log.Printf("host name %s in %s: %v", name, f.path, err)
		}
	}
}

// hosts is a hosts(5) in which the guest itself comes first, by its whole name and, as hostname -f wants it, by the part
// before the first dot; the image's lines follow, without the one that an image without the file got for the workspace's name.
func hosts(name, workspace, image string) string {
	own := hostLine(name)
	if host, _, dotted := strings.Cut(name, "."); dotted {
		own += "\t" + host
	}
	image = strings.TrimPrefix(strings.ReplaceAll("\n"+image, "\n"+hostLine(workspace)+"\n", "\n"), "\n")
	if image == "" {
		image = "127.0.0.1\tlocalhost\n::1\tlocalhost\n"
	}
	return own + "\n" + image
}

// hostLine is the line of a hosts(5) for the guest itself, at Debian's address for a machine without a lasting one.
func hostLine(name string) string { return "127.0.1.1\t" + name }

// coveredSize is the most that is kept of a file of the image: a guest may have left anything there.
const coveredSize = 1 << 20

// content is that of a file of the image, "" when there is none or it is too long.
func content(path string) string {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > coveredSize {
		return ""
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

// coverDir is where files in memory are made; nothing of it stays to be seen. /dev is never the image's.
const coverDir = "/dev/.covers"

// cover shows content in the place of a file until the guest goes down. The file itself is not written to. It returns an
// error when there is none, or something else has its name.
func cover(path, content string) (err error) {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return errors.New("it is no regular file")
	}
	if err := os.Mkdir(coverDir, 0o700); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(coverDir)) }()
	if err := (mount{"tmpfs", coverDir, "mode=0755", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC}).Do(); err != nil {
		return err
	}
	// What is bound from it keeps it alive.
	defer func() { err = errors.Join(err, unix.Unmount(coverDir, unix.MNT_DETACH)) }()
	file := filepath.Join(coverDir, filepath.Base(path))
	if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
		return err
	}
	if err := unix.Mount(file, path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount over it: %w", err)
	}
	return nil
}
