package initd

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// joinNetwork brings up the interface of a guest that is to have a network, once a boot. A guest that can't have it does
// not come up.
func (m *system) joinNetwork(n *wire.Network) error {
	if n == nil || m.link != nil {
		return nil
	}
	link, err := openLink(n)
	if err != nil {
		if _, said := errors.AsType[*proto.GuestError](err); said {
			return err
		}
		return proto.Errorf(proto.CodeFailed, "network: %v", err)
	}
	m.link = link
	if err := coverResolver(resolver(n.GetNameservers())); err != nil {
		m.log.Printf("%s: %v", resolvConf, err)
	}
	return nil
}

// Link is what openLink gave; nil in a guest without a network.
func (m *system) Link() *os.File { return m.link }

const resolvConf = "/etc/resolv.conf"

// resolver is a resolv.conf(5).
func resolver(servers []string) string {
	var b strings.Builder
	for _, s := range servers {
		fmt.Fprintf(&b, "nameserver %s\n", s)
	}
	return b.String()
}

// coverResolver shows content as resolv.conf. An image may have a link there to a file that its own resolver would write
// into a folder in memory.
func coverResolver(content string) error {
	_, err := os.Stat(resolvConf)
	if errors.Is(err, fs.ErrNotExist) {
		target, linkErr := os.Readlink(resolvConf)
		if linkErr != nil {
			return err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(resolvConf), target)
		}
		if !inMemory(filepath.Dir(target)) {
			return fmt.Errorf("it is a link to %s, which is not there", target)
		}
		if err := (file{target, content}).Do(); err != nil {
			return err
		}
		return nil
	}
	if err != nil {
		return err
	}
	return cover(resolvConf, content)
}

// inMemory says whether what is made below dir lies in memory alone.
func inMemory(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		var at unix.Statfs_t
		if err := unix.Statfs(dir, &at); err == nil {
			return at.Type == unix.TMPFS_MAGIC
		}
		if dir == "/" {
			return false
		}
	}
}
