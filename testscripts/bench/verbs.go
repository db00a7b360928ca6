package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sync/errgroup"

	"microagent/runtime/compress"
	"microagent/runtime/disk"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// verbs are what this program does for one contestant, in a process of its own.
var verbs = map[string]func(ctx context.Context, args []string) error{
	"unpack": unpack, "sha256": digest, "rootfs": rootFS, "empty": empty,
	"nothing": func(context.Context, []string) error { return nil },
}

func create(path string, fill func(*os.File) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := fill(f); err != nil {
		return err
	}
	return f.Sync()
}

// unpack decompresses each IN to OUT.N, as many at a time as there are CPUs.
func unpack(ctx context.Context, args []string) error {
	g, _ := errgroup.WithContext(ctx)
	g.SetLimit(2)
	for i, name := range args[1:] {
		g.Go(func() error {
			in, err := os.Open(name)
			if err != nil {
				return err
			}
			defer in.Close()
			r, err := compress.Open(in, compress.Limits{Formats: compress.Layers})
			if err != nil {
				return err
			}
			defer r.Close()
			return create(args[0]+"."+strconv.Itoa(i), func(out *os.File) error {
				_, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{r}, make([]byte, 1<<20))
				return err
			})
		})
	}
	return g.Wait()
}

// digest is SHA-256 of a file, on one core.
func digest(_ context.Context, args []string) error {
	f, err := os.Open(args[0])
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, make([]byte, 1<<20))
	return err
}

// fileLayers are layers that lie in files.
type fileLayers []string

func (l fileLayers) Len() int           { return len(l) }
func (l fileLayers) Close() error       { return nil }
func (l fileLayers) Whiteouts(int) bool { return true }
func (l fileLayers) Open(_ context.Context, i int) (io.ReadCloser, error) {
	f, err := os.Open(l[i])
	if err != nil {
		return nil, err
	}
	r, err := compress.Open(f, compress.Limits{Formats: compress.Layers})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return struct {
		io.Reader
		io.Closer
	}{r, f}, nil
}
func (l fileLayers) Layers(context.Context, string) (driver.Layers, error) { return l, nil }

func disks(dir string, layers disk.LayerSource) (*disk.Disks, error) {
	state := layout.State{Dir: dir}
	return disk.New(state, layers), state.Prepare("bench")
}

// rootFS makes the root file system of LAYERS, of SIZE bytes, in the state directory DIR.
func rootFS(ctx context.Context, args []string) error {
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	d, err := disks(args[0], fileLayers(args[2:]))
	if err != nil {
		return err
	}
	_, err = d.RootFS(ctx, driver.RootFSSpec{ImageDigest: "sha256:" + fmt.Sprintf("%064d", 0), Size: size}, nil)
	return err
}

// empty makes an empty volume of SIZE bytes at PATH.
func empty(ctx context.Context, args []string) error {
	size, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		return err
	}
	return disk.New(layout.State{}, nil).Empty(ctx, driver.EmptySpec{Size: size}, args[0])
}
