package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"

	"microagent/runtime/compress"
	"microagent/runtime/driver"
	"microagent/runtime/tartree"
)

// maxImage bounds a kernel image, in bytes.
const maxImage = 256 << 20

// ImportDeb installs the kernel out of Debian packages, whichever of them has the image, the modules and the list of
// what is built in.
func (s *Store) ImportDeb(ctx context.Context, files []string, p driver.Progress) (Installed, error) {
	k := &parts{modules: map[string][]byte{}}
	for _, file := range files {
		if k.source != "" {
			k.source += ", "
		}
		k.source += filepath.Base(file)
		p.Report("read "+filepath.Base(file), 0, 0)
		if err := readDeb(ctx, file, k); err != nil {
			return Installed{}, &driver.Error{
				Class: driver.ErrInvalid, Op: "read kernel package", Object: file, Err: err,
				Next: "give a file like linux-image-6.1.0-N-cloud-amd64_..._amd64.deb",
			}
		}
	}
	return s.install(ctx, k, p)
}

// readDeb takes what is needed out of a package: an ar archive with a tar in it (deb(5)).
func readDeb(ctx context.Context, file string, k *parts) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	member, name, err := arMember(f, "data.tar")
	if errors.Is(err, io.EOF) {
		return errors.New("it has no data.tar")
	}
	if err != nil {
		return err
	}
	data, err := compress.Open(member, compress.Limits{Formats: compress.Kernels})
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	defer data.Close()
	if data.Format == compress.Plain && name != "data.tar" {
		return fmt.Errorf("its compression %q is unknown", path.Ext(name))
	}
	if err := readTree(ctx, tartree.NewReader(data, tartree.Options{EndMark: tartree.OneBlock}), k); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}

// readTree takes kernel image, modules.builtin and modules out of a package's files.
func readTree(ctx context.Context, in *tartree.Reader, k *parts) error {
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !tartree.IsFile(h) {
			continue
		}
		name := "/" + tartree.Clean(h.Name)
		release, isImage := imageRelease(name)
		switch {
		case isImage:
			if k.vmlinuz, err = readBounded(in, maxImage); err != nil {
				return err
			}
			k.release = release
		case path.Base(name) == "modules.builtin":
			data, err := readBounded(in, 16<<20)
			if err != nil {
				return err
			}
			k.builtin = parseBuiltin(data)
		case relevant(name):
			if k.modules[moduleName(name)], err = unpackModule(name, in); err != nil {
				return err
			}
		}
	}
}

// imageRelease says whether a package's file is a kernel image, and of which release: /boot/vmlinuz-RELEASE, or
// /usr/lib/modules/RELEASE/vmlinuz as Debian has it since Linux 6.19.
func imageRelease(name string) (string, bool) {
	if strings.HasPrefix(name, "/boot/vmlinu") {
		_, release, _ := strings.Cut(path.Base(name), "-")
		return release, true
	}
	dir, base := path.Split(strings.TrimPrefix(name, "/usr"))
	release, ok := strings.CutPrefix(path.Clean(dir), "/lib/modules/")
	return release, ok && release != "" && !strings.Contains(release, "/") && strings.HasPrefix(base, "vmlinu")
}

func readBounded(r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("a file of more than %d bytes", limit)
	}
	return data, err
}

// ImportFiles installs a kernel image and the folder of its modules (lib/modules/RELEASE).
func (s *Store) ImportFiles(ctx context.Context, vmlinuz, modules string, p driver.Progress) (Installed, error) {
	k := &parts{source: filepath.Base(vmlinuz), modules: map[string][]byte{}}
	bad := func(object string, err error) (Installed, error) {
		return Installed{}, &driver.Error{
			Class: driver.ErrInvalid, Op: "read kernel file", Object: object, Err: err,
			Next: "give --vmlinuz /boot/vmlinuz-RELEASE --modules /lib/modules/RELEASE",
		}
	}
	f, err := os.Open(vmlinuz)
	if err != nil {
		return bad(vmlinuz, err)
	}
	k.vmlinuz, err = readBounded(f, maxImage)
	f.Close()
	if err != nil {
		return bad(vmlinuz, err)
	}
	data, err := os.ReadFile(filepath.Join(modules, "modules.builtin"))
	if err != nil {
		return bad(modules, err)
	}
	k.builtin = parseBuiltin(data)
	p.Report("read modules", 0, 0)
	err = filepath.WalkDir(modules, func(file string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !relevant(filepath.ToSlash(file)) {
			return err
		}
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		k.modules[moduleName(file)], err = unpackModule(file, f)
		return errors.Join(err, ctx.Err())
	})
	if err != nil {
		return bad(modules, err)
	}
	return s.install(ctx, k, p)
}
