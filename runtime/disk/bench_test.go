package disk

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/layer"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// smallFiles makes 20,000 files of 4 KiB on average in 2,020 directories, and a tar of them.
func smallFiles(b *testing.B) (dir, archive string) {
	b.Helper()
	dir = b.TempDir()
	archive = b.TempDir() + "/small.tar"
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20_000 {
		name := fmt.Sprintf("%s/d%02d/e%04d/file%05d", dir, i%20, i%2000, i)
		if i < 2000 {
			if err := os.MkdirAll(name[:len(name)-10], 0o755); err != nil {
				b.Fatal(err)
			}
		}
		data := make([]byte, int(r.ExpFloat64()*4096))
		for k := range data {
			data[k] = byte(r.Uint32())
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	f, err := os.Create(archive)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	return dir, archive
}

// BenchmarkSmallFiles compares ways from 20,000 small files to a synced image in one run.
func BenchmarkSmallFiles(b *testing.B) {
	dir, archive := smallFiles(b)
	out := b.TempDir() + "/image"
	b.Run("directory", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			d := newDisks(b, nil)
			b.StartTimer()
			if _, _, err := d.Bundle(b.Context(), from(dir), "sha256:"+fmt.Sprintf("%064d", 0), nil); err == nil {
				b.Fatal("the digest is not zero")
			}
		}
	})
	b.Run("tar", func(b *testing.B) {
		for b.Loop() {
			buildTar(b, archive, out, build.Options{Size: 8 << 30, Journal: true, Time: Epoch})
		}
	})
	b.Run("copy-of-tar", func(b *testing.B) {
		for b.Loop() {
			copyFile(b, archive, out)
		}
	})
	b.Run("mke2fs", func(b *testing.B) {
		tool, err := exec.LookPath("mke2fs")
		if err != nil {
			b.Skip("mke2fs (e2fsprogs) is not installed")
		}
		for b.Loop() {
			os.Remove(out)
			if msg, err := exec.Command(tool, "-q", "-t", "ext4", "-d", dir, out, "8G").CombinedOutput(); err != nil {
				b.Fatalf("%v: %s", err, msg)
			}
		}
	})
}

func buildTar(b *testing.B, archive, out string, opt build.Options) {
	b.Helper()
	in, err := os.Open(archive)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	os.Remove(out)
	f, err := os.Create(out)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	w, err := build.New(f, opt)
	if err != nil {
		b.Fatal(err)
	}
	defer w.Close()
	if _, err := layer.Tar(b.Context(), w, in, layer.Limits{}, nil); err != nil {
		b.Fatal(err)
	}
	if _, err := w.Finish(); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
}

func copyFile(b *testing.B, from, to string) {
	b.Helper()
	in, err := os.Open(from)
	if err != nil {
		b.Fatal(err)
	}
	defer in.Close()
	os.Remove(to)
	f, err := os.Create(to)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	if _, err := io.CopyBuffer(struct{ io.Writer }{f}, struct{ io.Reader }{in}, make([]byte, 1<<20)); err != nil {
		b.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkEmpty(b *testing.B) {
	for _, gib := range []float64{0.5, 100, 1024, 15 * 1024} {
		size := int64(gib * (1 << 30))
		b.Run(fmt.Sprintf("%gGiB", gib), func(b *testing.B) {
			state := layout.State{Dir: b.TempDir()}
			if err := state.Prepare("bench"); err != nil {
				b.Fatal(err)
			}
			d := New(state, nil)
			path := state.VolumeImage("data")
			for b.Loop() {
				if err := d.Empty(b.Context(), driver.EmptySpec{Size: size}, path); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				st, err := os.Stat(path)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(layout.Allocated(st)>>10), "KiB")
				os.Remove(path)
				b.StartTimer()
			}
		})
	}
}

// BenchmarkOneDirectory puts many files into one directory: the cost of a file must not grow with their number.
func BenchmarkOneDirectory(b *testing.B) {
	for _, count := range []int{20_000, 200_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			out := b.TempDir() + "/image"
			for b.Loop() {
				os.Remove(out)
				f, err := os.Create(out)
				if err != nil {
					b.Fatal(err)
				}
				w, err := build.New(f, build.Options{Size: 8 << 30, Journal: true, Time: Epoch})
				if err != nil {
					b.Fatal(err)
				}
				body := []byte("body")
				for i := range count {
					if err := w.File(fmt.Sprintf("dir/file-with-a-name-%07d", i), ext4.Attr{Mode: 0o644, Mtime: Epoch}, 4, bytes.NewReader(body)); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := w.Finish(); err != nil {
					b.Fatal(err)
				}
				f.Close()
			}
		})
	}
}
