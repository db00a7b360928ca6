package kernel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"microagent/runtime/driver"
	"microagent/schema/pattern"
)

const (
	nextUpdate = "run `apt-get update` as root, or give a package with --deb FILE"
	nextDeb    = "give a package with --deb FILE, or --vmlinuz FILE --modules DIR"
)

// ImportApt installs the kernel that Debian's linux-image-cloud meta package stands for, downloaded through apt-get
// into a temporary folder: apt checks the signatures. It needs no root and installs no package on the host.
func (s *Store) ImportApt(ctx context.Context, p driver.Progress) (Installed, error) {
	dir, err := os.MkdirTemp("", "microagent-kernel-")
	if err != nil {
		return Installed{}, err
	}
	defer os.RemoveAll(dir)
	files, err := Download(ctx, s.arch, dir, p)
	if err != nil {
		return Installed{}, err
	}
	return s.ImportDeb(ctx, files, p)
}

// Download has apt-get leave the packages of that kernel in dir, for an architecture in Debian's words, and gives their
// files: however many a kernel is split into.
func Download(ctx context.Context, arch, dir string, p driver.Progress) ([]string, error) {
	meta := "linux-image-cloud-" + arch
	fail := func(class, err error, next string) ([]string, error) {
		return nil, &driver.Error{Class: class, Op: "get kernel package", Object: meta, Err: err, Next: next}
	}
	for _, tool := range []string{"apt-get", "apt-cache"} {
		if _, err := exec.LookPath(tool); err != nil {
			return fail(driver.ErrUnsupported, fmt.Errorf("this host has no %s", tool), nextDeb)
		}
	}
	out, err := apt(ctx, "", "apt-cache", "depends", "--important", meta)
	if err != nil {
		return fail(driver.ErrNotFound, err, nextUpdate)
	}
	name, ok := kernelDependency(out)
	if !ok {
		return fail(driver.ErrNotFound, errors.New("apt's lists name no kernel for it"), nextUpdate)
	}
	names, err := kernelPackages(ctx, name)
	if err != nil {
		return fail(driver.ErrNotFound, err, nextUpdate)
	}
	p.Report("download "+strings.Join(names, ", "), 0, 0)
	if _, err := apt(ctx, dir, "apt-get", append([]string{"-q", "download"}, names...)...); err != nil {
		return fail(driver.ErrUnavailable, err, nextUpdate)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.deb"))
	if err != nil || len(files) != len(names) {
		return fail(driver.ErrUnavailable, fmt.Errorf("apt-get download left %d packages instead of %d", len(files), len(names)), nextDeb)
	}
	return files, nil
}

var kernelPackage = pattern.Of(`^linux-image-[0-9][a-z0-9.+~-]*$`)

// kernelDependency finds the versioned kernel in the output of apt-cache depends.
func kernelDependency(out string) (string, bool) {
	for line := range strings.Lines(out) {
		name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: ")
		if ok && kernelPackage().MatchString(name) {
			return name, true
		}
	}
	return "", false
}

// maxPackages bounds into how many packages a kernel is split.
const maxPackages = 16

// kernelPackages are those that a kernel is split into: image, and what it depends on, directly or not, that is of the
// same release.
func kernelPackages(ctx context.Context, image string) ([]string, error) {
	release := strings.TrimPrefix(image, "linux-image-")
	names := []string{image}
	for i := 0; i < len(names); i++ {
		out, err := apt(ctx, "", "apt-cache", "depends", "--important", names[i])
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			name, ok := strings.CutPrefix(strings.TrimSpace(line), "Depends: ")
			if !ok || !strings.HasPrefix(name, "linux-") || !strings.HasSuffix(name, "-"+release) || slices.Contains(names, name) {
				continue
			}
			if names = append(names, name); len(names) > maxPackages {
				return nil, fmt.Errorf("%s is split into more than %d packages", image, maxPackages)
			}
		}
	}
	return names, nil
}

// apt runs one of apt's tools in its own words; the error ends with what it said.
func apt(ctx context.Context, dir string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		lines := strings.Split(strings.TrimSpace(stderr.String()), "\n")
		said := slices.DeleteFunc(lines, func(l string) bool { return !strings.HasPrefix(l, "E: ") })
		if len(said) > 0 {
			err = errors.New(strings.TrimPrefix(said[0], "E: "))
		}
		return "", fmt.Errorf("%s: %w", name, err)
	}
	return stdout.String(), nil
}
