package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// at is a place for what a run makes.
func (b *bench) at(name string) string { return filepath.Join(b.dir, "made", name) }

// self is a verb of this program as a contestant.
func (b *bench) self(name string, bar float64, out []string, args ...string) contestant {
	exe, err := os.Executable()
	if err != nil {
		exe = os.Args[0]
	}
	return contestant{name: name, bar: bar, argv: append([]string{exe}, args...), out: out}
}

// apply is `microagent apply` of a project that is one bundle of source, with nothing made before.
func (b *bench) apply(source string) (contestant, error) {
	dir := filepath.Join(b.dir, "projects", filepath.Base(source))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return contestant{}, err
	}
	manifest := fmt.Sprintf("project: bench\nbundles:\n  data: {source: %s}\n", source)
	if err := os.WriteFile(dir+"/microagent.yaml", []byte(manifest), 0o644); err != nil {
		return contestant{}, err
	}
	state := b.at("state")
	return contestant{
		name: "microagent apply", argv: []string{b.program, "apply", "--yes", "--allow-path", filepath.Dir(source)}, dir: dir,
		env: []string{"MICROAGENT_STATE_DIR=" + state}, out: []string{state},
	}, nil
}

func (b *bench) tar2ext4(in string, bar float64) contestant {
	return contestant{name: "tar2ext4", bar: bar, argv: []string{b.rival(), in, b.at("rival")}, out: []string{b.at("rival")}}
}

// extracted is the way through a folder: tar x and mke2fs -d, as root.
func (b *bench) extracted(in string, bar float64) contestant {
	dir, image := b.at("tree"), b.at("image")
	return contestant{
		name: "tar x, mke2fs -d", bar: bar, out: []string{dir, image},
		argv: []string{"sh", "-ec", `mkdir -p "$1"; tar -C "$1" -xf "$0"; exec "$3" -q -t ext4 -d "$1" "$2" 4G`, in, dir, image, b.mke2fs},
	}
}

// rows are all that is measured.
func (b *bench) rows() []*row {
	var rows []*row
	add := func(name string, limit int64, ready func(ctx context.Context, r *row) error) {
		r := &row{name: name, limit: limit}
		r.ready = func(ctx context.Context) error {
			if err := os.MkdirAll(b.at(""), 0o755); err != nil {
				return err
			}
			return ready(ctx, r)
		}
		rows = append(rows, r)
	}
	bundle := func(name string, limit int64, input func() (string, error), packed bool, rivals func(tar string) []contestant) {
		add(name, limit, func(ctx context.Context, r *row) error {
			dir, err := input()
			if err != nil {
				return err
			}
			tar, err := b.tarOf(ctx, dir)
			if err != nil {
				return err
			}
			if packed {
				dir = tar
			}
			ours, err := b.apply(dir)
			r.who = append([]contestant{ours}, rivals(tar)...)
			r.longest = len(r.who) == 3 && r.who[1].bar == 0
			return err
		})
	}
	small := func(tar string) []contestant {
		who := []contestant{b.tar2ext4(tar, 0.5), b.extracted(tar, -4)}
		if b.tarMke2fs != "" {
			who = append(who, contestant{name: "mke2fs -d TAR", bar: -2.5, argv: []string{b.tarMke2fs, "-q", "-t", "ext4", "-d", tar, b.at("image"), "4G"}, out: []string{b.at("image")}})
		}
		return who
	}
	large := func(tar string) []contestant {
		return []contestant{b.tar2ext4(tar, 0), b.self("SHA-256 on one core", 1.15, nil, "sha256", tar)}
	}
	bundle("20,000 small files, a folder", 64<<10+8000, b.smallFiles, false, small)
	bundle("20,000 small files, a tar", 64<<10+8000, b.smallFiles, true, func(tar string) []contestant { return small(tar)[:1] })
	bundle("1 GiB in 40 files, a folder", 64<<10, b.largeFiles, false, large)
	bundle("1 GiB in 40 files, a tar", 64<<10, b.largeFiles, true, large)

	rootfs := func(name, rival string, bar float64, layers func(ctx context.Context) ([]string, error)) {
		add(name, 0, func(ctx context.Context, r *row) error {
			list, err := layers(ctx)
			if err != nil {
				return err
			}
			state := b.at("state")
			ours := b.self("microagent", 0, []string{state}, append([]string{"rootfs", state, "8589934592"}, list...)...)
			r.who = []contestant{ours}
			if rival == "tar2ext4" {
				r.who = append(r.who, b.tar2ext4(list[0], bar))
				return nil
			}
			var out []string
			for i := range list {
				out = append(out, fmt.Sprintf("%s.%d", b.at("plain"), i))
			}
			r.who = append(r.who, b.self(rival, bar, out, append([]string{"unpack", b.at("plain")}, list...)...))
			return nil
		})
	}
	debian := func(how string) func(ctx context.Context) ([]string, error) {
		return func(ctx context.Context) ([]string, error) {
			plain, err := b.debian(ctx)
			if err == nil && how != "" {
				plain, err = b.packed(ctx, plain, how)
			}
			return []string{plain}, err
		}
	}
	above := func(count int) func(ctx context.Context) ([]string, error) {
		return func(ctx context.Context) ([]string, error) {
			base, err := debian("zstd")(ctx)
			if err != nil {
				return nil, err
			}
			more, err := b.whiteouts(ctx, count)
			return slices.Concat(base, more), err
		}
	}
	rootfs("Debian minbase, tar", "tar2ext4", 0.7, debian(""))
	rootfs("Debian minbase, gzip", "gunzip to a file", 1.15, debian("gzip"))
	rootfs("Debian minbase, zstd", "unzstd to a file", 1.15, debian("zstd"))
	rootfs("3 layers in zstd", "unzstd to files, in parallel", 1.5, above(2))
	rootfs("12 layers with whiteouts", "unzstd to files, in parallel", 1.5, above(11))

	for _, v := range []struct {
		name string
		mib  int64
		bar  float64
	}{{"512 MiB", 512, 1.2}, {"1 GiB", 1 << 10, 1.2}, {"8 GiB", 8 << 10, 1}, {"100 GiB", 100 << 10, 1}, {"1 TiB", 1 << 20, 1}, {"15 TiB", 15 << 20, 1}} {
		add("empty volume, "+v.name, 0, func(context.Context, *row) error { return nil })
		r := rows[len(rows)-1]
		ours, image := b.at("volume"), b.at("image")
		r.who = []contestant{
			b.self("microagent", 0, []string{ours}, "empty", ours, fmt.Sprint(v.mib<<20)),
			{name: "mke2fs, lazy tables", bar: v.bar, out: []string{image}, argv: []string{b.mke2fs, "-q", "-t", "ext4", "-E", "lazy_itable_init=1,lazy_journal_init=1", image, fmt.Sprint(v.mib) + "M"}},
			b.self("our process alone", 0, nil, "nothing"),
		}
		r.start = true
	}
	b.volumeRows(add)
	add("1,000,000 files, a tar", 64<<10+400_000, func(ctx context.Context, r *row) error {
		tar, err := b.manyFiles()
		if err != nil {
			return err
		}
		ours, err := b.apply(tar)
		r.who, r.rounds = []contestant{ours, b.tar2ext4(tar, 0)}, 2
		return err
	})
	return rows
}
