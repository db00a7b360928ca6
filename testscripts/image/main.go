package image

import (
	"archive/tar"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	v1 "github.com/opencontainers/image-spec/specs-go/v1"
)

// list is a flag that can be given several times.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

// Main is the command line of mkimage: it writes an OCI archive of a busybox image, or of one of Debian packages.
func Main(args []string, stderr io.Writer) int {
	set := flag.NewFlagSet("mkimage", flag.ContinueOnError)
	set.SetOutput(stderr)
	busybox := set.String("busybox", "/bin/busybox", "a static busybox")
	packages := set.String("packages", "", "Debian packages of the host to make the image of in the place of busybox, by commas")
	add := set.String("add", "", "a folder whose files are added")
	user := set.String("user", "", "the image's user")
	workdir := set.String("workdir", "", "the image's working directory")
	stop := set.String("stop-signal", "", "the image's stop signal")
	var cmd, entrypoint, env, volumes list
	set.Var(&cmd, "cmd", "one word of the image's command, repeated (default sh)")
	set.Var(&entrypoint, "entrypoint", "one word of the image's entrypoint, repeated")
	set.Var(&env, "env", "NAME=VALUE, repeated")
	set.Var(&volumes, "volume", "a directory that the image's programs expect, repeated")
	if err := set.Parse(args); err != nil {
		return 64
	}
	if set.NArg() != 1 {
		fmt.Fprintln(stderr, "mkimage: one argument is wanted: the archive to write")
		return 64
	}
	if len(cmd) == 0 && len(entrypoint) == 0 {
		cmd = list{"sh"}
	}
	files, err := content(*busybox, *packages, *add)
	if err != nil {
		fmt.Fprintf(stderr, "mkimage: %v\n", err)
		return 1
	}
	search := "PATH=/usr/local/bin:/usr/bin:/bin"
	if *packages != "" {
		search += ":/usr/local/sbin:/usr/sbin:/sbin"
	}
	config := v1.ImageConfig{Cmd: cmd, Entrypoint: entrypoint, User: *user, WorkingDir: *workdir, StopSignal: *stop,
		Env: append([]string{search}, env...)}
	for _, path := range volumes {
		if config.Volumes == nil {
			config.Volumes = map[string]struct{}{}
		}
		config.Volumes[path] = struct{}{}
	}
	if err := write(set.Arg(0), files, config); err != nil {
		fmt.Fprintf(stderr, "mkimage: %v\n", err)
		return 1
	}
	return 0
}

// content is what the image has.
func content(busybox, packages, add string) (files []File, err error) {
	if packages != "" {
		files, err = Packages(strings.Split(packages, ","))
	} else {
		files, err = Busybox(busybox)
	}
	if err != nil || add == "" {
		return files, err
	}
	more, err := folder(add)
	return append(files, more...), err
}

func write(name string, files []File, config v1.ImageConfig) error {
	layer, err := Layer(files)
	if err != nil {
		return err
	}
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("write %s: it is no file", name) // a device would be replaced
	}
	temp := name + ".new"
	f, err := os.Create(temp)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	defer f.Close()
	if err := Archive(f, layer, config, runtime.GOARCH); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(temp, name)
}

// folder is what lies below dir, with plain modes.
func folder(dir string) ([]File, error) {
	var files []File
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		file := File{Path: filepath.ToSlash(name), Mode: int64(info.Mode().Perm())}
		switch {
		case d.IsDir():
			file.Type = tar.TypeDir
		case d.Type()&fs.ModeSymlink != 0:
			file.Type = tar.TypeSymlink
			file.Link, err = os.Readlink(path)
		default:
			file.Data, err = os.ReadFile(path)
		}
		files = append(files, file)
		return err
	})
	return files, err
}
