package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/quantity"
	"microagent/schema/spec"
)

// mountFlag is one value of -v, --disk or --bundle.
type mountFlag struct {
	kind     spec.MountKind
	name     string // of a volume; of a disk or bundle as cp addresses it
	source   string // host path of a disk or bundle, absolute
	path     string // in the guest
	readOnly bool
	size     int64 // of a volume that is made if it is not there; 0: it has to be
}

// cutMount splits SOURCE:/mount[:options] from the right, so that a colon in SOURCE does no harm.
func cutMount(text string) (source, mount string, options []string, err error) {
	source = text
	if i := strings.LastIndexByte(source, ':'); i >= 0 && !strings.HasPrefix(source[i+1:], "/") {
		options = strings.Split(source[i+1:], ",")
		source = source[:i]
	}
	i := strings.LastIndex(source, ":/")
	if i <= 0 {
		return "", "", nil, fmt.Errorf("%q has no mount path; write SOURCE:/mount, with :ro or :rw behind it", text)
	}
	return source[:i], filepath.Clean(source[i+1:]), options, nil
}

func (m *mountFlag) options(text string, list []string) error {
	for _, o := range list {
		value, isSize := strings.CutPrefix(o, "size=")
		switch {
		case o == "ro":
			m.readOnly = true
		case o == "rw" && m.kind == spec.MountBundle:
			return fmt.Errorf("%q: a bundle is read-only", text)
		case o == "rw":
		case isSize && m.kind == spec.MountVolume:
			n, err := quantity.ParseDisk(value)
			if err != nil {
				return fmt.Errorf("%q: %w", text, err)
			}
			m.size = n.Bytes()
		default:
			return fmt.Errorf("%q has the option %q; write ro or rw", text, o)
		}
	}
	return nil
}

var bundleSuffixes = []string{".tar", ".tar.gz", ".tgz", ".tar.zst"}
var diskSuffixes = []string{".ext4", ".img"}

func hasSuffix(name string, list []string) bool {
	for _, s := range list {
		if strings.HasSuffix(name, s) {
			return true
		}
	}
	return false
}

// parseVolume reads a value of -v: a bare name is a volume, a tar is a bundle, an .ext4 or .img is a disk.
func parseVolume(text string) (mountFlag, error) {
	source, mount, options, err := cutMount(text)
	if err != nil {
		return mountFlag{}, err
	}
	m := mountFlag{path: mount}
	base := filepath.Base(source)
	switch {
	case hasSuffix(source, bundleSuffixes):
		m.kind, m.readOnly = spec.MountBundle, true
	case hasSuffix(source, diskSuffixes):
		m.kind = spec.MountDisk
	case layout.ValidName(source):
		m.kind, m.name = spec.MountVolume, source
	default:
		if err := refuseDirectory(source, mount); err != nil {
			return m, err
		}
		return m, fmt.Errorf("%q is neither a volume's name nor a file .tar .tar.gz .tgz .tar.zst .ext4 or .img; write a name such as data, or a path such as ./data.tar", source)
	}
	if m.kind != spec.MountVolume {
		m.name, _, _ = strings.Cut(base, ".")
		if m.source, err = filepath.Abs(source); err != nil {
			return m, err
		}
	}
	return m, m.options(text, options)
}

// refuseDirectory says what takes the place of a host directory in a guest.
func refuseDirectory(source, mount string) error {
	if info, err := os.Stat(source); err != nil || !info.IsDir() {
		return nil
	}
	return &driver.Error{Class: driver.ErrRefused, Op: "mount", Object: source,
		Err:  errors.New("it is a host directory, and a guest sees block devices only"),
		Next: asBundle(source, mount)}
}

// asBundle is the advice to who wants a host directory in a guest.
func asBundle(dir, mount string) string {
	name := "dir"
	if abs, err := filepath.Abs(dir); err == nil && !strings.ContainsAny(filepath.Base(abs), "/:=") {
		name = filepath.Base(abs)
	}
	return fmt.Sprintf("pack it as a bundle: --bundle '%s=%s:%s:ro'; or use a volume, or cp", name, dir, mount)
}

// parseNamed reads a value of --disk or --bundle: name=PATH:/mount[:ro|rw].
func parseNamed(kind spec.MountKind, text string) (mountFlag, error) {
	name, rest, ok := strings.Cut(text, "=")
	if !ok || name == "" || strings.ContainsAny(name, "/:") {
		want := "name=PATH:/mount[:ro|rw]"
		if kind == spec.MountBundle {
			want = "name=PATH:/mount"
		}
		return mountFlag{}, fmt.Errorf("--%s is %q; write %s", kind, text, want)
	}
	source, mount, options, err := cutMount(rest)
	if err != nil {
		return mountFlag{}, err
	}
	m := mountFlag{kind: kind, name: name, path: mount, readOnly: kind == spec.MountBundle}
	if kind == spec.MountDisk {
		if err := refuseDirectory(source, mount); err != nil {
			return m, err
		}
	}
	if m.source, err = filepath.Abs(source); err != nil {
		return m, err
	}
	return m, m.options(text, options)
}
