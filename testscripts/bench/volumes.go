package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"

	"golang.org/x/sys/unix"

	"microagent/runtime/disk/target"
)

// volumeFiles are 300 MiB in 300 files, half text, half random.
func (b *bench) volumeFiles() (string, error) {
	return b.make("volume-files", func(dir string) error {
		r := rand.NewChaCha8([32]byte{2})
		data := make([]byte, 1<<20)
		for i := range 300 {
			_, _ = r.Read(data[:len(data)/2])
			for k := len(data) / 2; k < len(data); k++ {
				data[k] = "a text of no meaning\n"[(i+k)%21]
			}
			if err := put(fmt.Sprintf("%s/file%03d", dir, i), data); err != nil {
				return err
			}
		}
		return nil
	})
}

// microagent runs the program for what a row needs, with its objects in state.
func (b *bench) microagent(ctx context.Context, state string, args ...string) error {
	cmd := exec.CommandContext(ctx, b.program, args...)
	cmd.Env = append(os.Environ(), "MICROAGENT_STATE_DIR="+state)
	return said(cmd)
}

// ours is a command of the program as a contestant.
func (b *bench) ours(state string, out []string, args ...string) contestant {
	return contestant{name: "microagent", argv: append([]string{b.program}, args...), env: []string{"MICROAGENT_STATE_DIR=" + state}, out: out}
}

// script is a shell's command as a contestant: $1 and on are args.
func script(name string, bar float64, out []string, text string, args ...string) contestant {
	return contestant{name: name, bar: bar, out: out, argv: append([]string{"sh", "-ec", text, "sh"}, args...)}
}

// volume is a state directory below dir with a volume of 8 GiB called data that holds 300 MiB.
func (b *bench) volume(ctx context.Context, dir string) (state, image string, err error) {
	state = filepath.Join(dir, "volume-state")
	image = filepath.Join(state, "volumes", "data.ext4")
	files, err := b.volumeFiles()
	if err != nil {
		return "", "", err
	}
	if _, err := os.Stat(image); err == nil {
		return state, image, nil
	}
	if err := b.microagent(ctx, state, "volume", "create", "data", "--size", "8GiB"); err != nil {
		return "", "", err
	}
	return state, image, b.microagent(ctx, state, "cp", "-r", files, "volume:data:/")
}

// copyOf is where the program puts a volume that a row makes.
func copyOf(state string) []string {
	return []string{filepath.Join(state, "volumes", "copy.ext4"), filepath.Join(state, "volumes", "copy.json")}
}

// used is a file of the bytes of an image that are no holes.
func (b *bench) used(image string) (string, error) {
	return b.make("volume-used", func(path string) error {
		in, err := os.Open(image)
		if err != nil {
			return err
		}
		defer in.Close()
		info, err := in.Stat()
		if err != nil {
			return err
		}
		return create(path, func(out *os.File) error {
			for at := int64(0); at < info.Size(); {
				start, end, err := target.DataFrom(in, at, info.Size())
				if err != nil {
					return err
				}
				if start == end {
					return nil
				}
				if _, err := io.Copy(out, io.NewSectionReader(in, start, end-start)); err != nil {
					return err
				}
				at = end
			}
			return nil
		})
	})
}

// clone compares a clone of the volume in dir with cp.
func (b *bench) clone(ctx context.Context, dir, flag string, bar float64) ([]contestant, error) {
	state, image, err := b.volume(ctx, dir)
	copied := filepath.Join(dir, "image")
	return []contestant{
		b.ours(state, copyOf(state), "volume", "clone", "data", "copy"),
		script("cp "+flag, bar, []string{copied}, `cp "$3" "$1" "$2"; sync "$2"`, image, copied, flag),
	}, err
}

// xfs mounts a file system that can share blocks, until done is called.
func (b *bench) xfs(ctx context.Context) (dir string, done func() error, err error) {
	image, dir := b.at("xfs.image"), b.at("xfs")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	err = said(exec.CommandContext(ctx, "sh", "-ec", `truncate -s 12G "$1"; "$0" -q -f -m reflink=1 "$1"; mount -o loop "$1" "$2"`, b.mkfsXFS, image, dir))
	return dir, func() error {
		if err := unix.Unmount(dir, 0); err != nil {
			return err
		}
		return os.Remove(image)
	}, err
}

// volumeRows are of volumes: copies, exports, imports, and files that are copied in and out.
func (b *bench) volumeRows(add func(name string, limit int64, ready func(ctx context.Context, r *row) error)) {
	add("clone of 8 GiB with 300 MiB", 0, func(ctx context.Context, r *row) (err error) {
		r.who, err = b.clone(ctx, filepath.Join(b.dir, "inputs"), "--sparse=always", 1.2)
		return err
	})
	if b.mkfsXFS != "" {
		add("the same on XFS", 0, func(ctx context.Context, r *row) error {
			dir, done, err := b.xfs(ctx)
			if err != nil {
				return err
			}
			r.done = done
			r.who, err = b.clone(ctx, dir, "--reflink=always", 3)
			return err
		})
	}
	packed := func(name string, argv func(file string) []string, exported bool) {
		add(name, 0, func(ctx context.Context, r *row) error {
			state, image, err := b.volume(ctx, filepath.Join(b.dir, "inputs"))
			if err != nil {
				return err
			}
			used, err := b.used(image)
			if err != nil {
				return err
			}
			out, file := copyOf(state), b.at("data.zst")
			if exported {
				out = []string{file}
			} else if file, err = b.make("volume.zst", func(path string) error { return b.microagent(ctx, state, "volume", "export", "data", path) }); err != nil {
				return err
			}
			theirs := b.at("used.zst")
			r.who = []contestant{
				b.ours(state, out, argv(file)...),
				script("zstd -3 -T2 of what is used", 1.5, []string{theirs}, `zstd -q -3 -T2 "$1" -o "$2"; sync "$2"`, used, theirs),
			}
			return nil
		})
	}
	packed("export of it", func(file string) []string { return []string{"volume", "export", "data", file} }, true)
	packed("import of it", func(file string) []string { return []string{"volume", "import", "copy", file} }, false)
	for _, in := range []bool{true, false} {
		name := map[bool]string{true: "cp of 1 GiB into a volume", false: "cp of 1 GiB out of a volume"}[in]
		add(name, 0, func(ctx context.Context, r *row) (err error) {
			r.who, err = b.copies(ctx, in)
			return err
		})
	}
}

// copies are cp of 1 GiB with a volume that nobody uses, beside a copy of the file.
func (b *bench) copies(ctx context.Context, in bool) ([]contestant, error) {
	dir, err := b.largeFiles()
	if err != nil {
		return nil, err
	}
	file, err := b.tarOf(ctx, dir)
	if err != nil {
		return nil, err
	}
	state, out := b.at("cp-state"), b.at("out")
	fill := func(ctx context.Context) error {
		return b.microagent(ctx, state, "volume", "create", "big", "--size", "2GiB")
	}
	ours := b.ours(state, []string{state}, "cp", file, "volume:big:/file")
	if ours.before = fill; !in {
		ours = script("microagent", 0, []string{state, out}, `"$1" cp volume:big:/file "$2"; sync "$2"`, b.program, out)
		ours.env = []string{"MICROAGENT_STATE_DIR=" + state}
		ours.before = func(ctx context.Context) error {
			if err := fill(ctx); err != nil {
				return err
			}
			return b.microagent(ctx, state, "cp", file, "volume:big:/file")
		}
	}
	raw := b.at("raw")
	return []contestant{ours, script("cp", 1.5, []string{raw}, `cp --reflink=never "$1" "$2"; sync "$2"`, file, raw)}, nil
}
