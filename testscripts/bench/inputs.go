package main

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
)

// make makes an input of the folder for inputs once, with fill, and gives its path.
func (b *bench) make(name string, fill func(path string) error) (string, error) {
	path := filepath.Join(b.dir, "inputs", name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	half := path + ".half"
	if err := os.RemoveAll(half); err != nil {
		return "", err
	}
	if err := fill(half); err != nil {
		return "", err
	}
	return path, os.Rename(half, path)
}

// smallFiles are 20,000 files of 4 KiB on average in 2,020 directories, half text, half random.
func (b *bench) smallFiles() (string, error) {
	return b.make("small", func(dir string) error {
		r := rand.New(rand.NewPCG(1, 2))
		for i := range 20_000 {
			name := fmt.Sprintf("%s/d%02d/e%04d/file%05d", dir, i%20, i%2000, i)
			data := make([]byte, int(r.ExpFloat64()*4096))
			for k := range data {
				data[k] = "a text of no meaning\n"[k%21]
				if k < len(data)/2 {
					data[k] = byte(r.Uint32())
				}
			}
			if err := put(name, data); err != nil {
				return err
			}
		}
		return nil
	})
}

// largeFiles are 1 GiB in 40 files that nothing compresses.
func (b *bench) largeFiles() (string, error) {
	return b.make("large", func(dir string) error {
		r := rand.NewChaCha8([32]byte{1})
		data := make([]byte, (1<<30)/40)
		for i := range 40 {
			_, _ = r.Read(data)
			if err := put(fmt.Sprintf("%s/file%02d", dir, i), data); err != nil {
				return err
			}
		}
		return nil
	})
}

// manyFiles are 1,000,000 small files in 1,000 directories, as a tar.
func (b *bench) manyFiles() (string, error) {
	return b.make("many.tar", func(path string) error {
		return writeTar(path, func(w *tar.Writer) error {
			for i := range 1_000_000 {
				name := fmt.Sprintf("d%03d/file-of-many-%07d", i/1000, i)
				if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: 5}); err != nil {
					return err
				}
				if _, err := w.Write([]byte("text\n")); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func put(name string, data []byte) error {
	err := os.WriteFile(name, data, 0o644)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		err = os.WriteFile(name, data, 0o644)
	}
	return err
}

func writeTar(path string, fill func(*tar.Writer) error) error {
	return create(path, func(f *os.File) error {
		buf := bufio.NewWriterSize(f, 1<<20)
		w := tar.NewWriter(buf)
		if err := fill(w); err != nil {
			return err
		}
		return errors.Join(w.Close(), buf.Flush())
	})
}

// tarOf is a tar of a folder.
func (b *bench) tarOf(ctx context.Context, dir string) (string, error) {
	return b.make(filepath.Base(dir)+".tar", func(path string) error {
		return said(exec.CommandContext(ctx, "tar", "--sort=name", "--owner=0", "--group=0", "-C", dir, "-cf", path, "."))
	})
}

// packed is a tar in gzip or zstd, of the level that images have.
func (b *bench) packed(ctx context.Context, path, how string) (string, error) {
	ending := map[string]string{"gzip": ".gz", "zstd": ".zst"}[how]
	return b.make(filepath.Base(path)+ending, func(to string) error {
		return said(exec.CommandContext(ctx, "sh", "-c", `exec "$0" -c "$1" > "$2"`, how, path, to))
	})
}

// debian is a Debian root file system as a tar, of trixie's minbase.
func (b *bench) debian(ctx context.Context) (string, error) {
	return b.make("debian.tar", func(path string) error {
		return said(exec.CommandContext(ctx, "mmdebstrap", "--quiet", "--variant=minbase", "--format=tar", "trixie", path, "http://deb.debian.org/debian"))
	})
}

// whiteouts are layers above a root file system: each replaces files of the one before, and hides some.
func (b *bench) whiteouts(ctx context.Context, count int) (list []string, err error) {
	for n := range count {
		plain, err := b.make(fmt.Sprintf("above%02d.tar", n), func(path string) error {
			return writeTar(path, func(w *tar.Writer) error { return b.above(w, n) })
		})
		if err != nil {
			return nil, err
		}
		layer, err := b.packed(ctx, plain, "zstd")
		if err != nil {
			return nil, err
		}
		list = append(list, layer)
	}
	return list, nil
}

func (b *bench) above(w *tar.Writer, n int) error {
	r := rand.New(rand.NewPCG(3, uint64(n)))
	for i := range 400 {
		name := fmt.Sprintf("srv/app%02d/file%04d", i%20, i)
		if n > 0 && i%10 == 0 {
			name = fmt.Sprintf("srv/app%02d/.wh.file%04d", i%20, (i+n)%400/20*20+i%20)
		}
		data := make([]byte, 1000+r.IntN(30_000))
		for k := range data {
			data[k] = byte(r.Uint32() >> 3 & 0x1F)
		}
		if i%10 == 0 && n > 0 {
			data = nil
		}
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
			return err
		}
		if _, err := w.Write(data); err != nil {
			return err
		}
	}
	return nil
}

// said runs a command; its error has what it wrote.
func said(cmd *exec.Cmd) error {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%v: %w\n%.2000s", cmd.Args, err, out)
	}
	return nil
}
