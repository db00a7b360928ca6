package ext4_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"microagent/runtime/disk/ext4"
	"microagent/runtime/disk/ext4/build"
	"microagent/runtime/disk/ext4/format"
)

func TestXattrEdges(t *testing.T) {
	// In the inode: 92 bytes behind the magic, 4 of them the end, 16 and the name for an entry.
	path := buildImage(t, build.Options{}, func(b *build.Builder) error {
		for size := 60; size <= 80; size++ {
			a := attr(0o644)
			a.Xattrs = map[string][]byte{"user.nm": random(1, size)}
			if err := b.File(fmt.Sprintf("one%d", size), a, 0, nil); err != nil {
				return err
			}
		}
		const room = ext4.BlockSize - format.XattrBlockHeader - 4 - 16 - 4
		a := attr(0o755)
		a.Xattrs = map[string][]byte{"user.full": random(2, room)}
		if err := b.Mkdir("full", a); err != nil {
			return err
		}
		a.Xattrs = map[string][]byte{"user.full": random(2, room+1)}
		if err := b.Mkdir("over", a); !errors.Is(err, ext4.ErrInvalid) {
			t.Errorf("one byte too much gives %v", err)
		}
		a.Xattrs = map[string][]byte{"nowhere.x": nil}
		if err := b.Mkdir("over", a); !errors.Is(err, ext4.ErrInvalid) {
			t.Errorf("an unknown kind gives %v", err)
		}
		a.Xattrs = map[string][]byte{"system.posix_acl_access": {1, 2, 3}}
		if err := b.Mkdir("over", a); !errors.Is(err, ext4.ErrInvalid) {
			t.Errorf("a torn ACL gives %v", err)
		}
		a.Xattrs = map[string][]byte{}
		for i := range 60 {
			a.Xattrs[fmt.Sprintf("user.%0*d", 1+i%7, i)] = random(uint64(i), i%40)
		}
		return b.Mkdir("many", a)
	})
	x := open(t, path)
	for size := 60; size <= 80; size++ {
		n, err := x.Resolve(fmt.Sprintf("one%d", size), true)
		if err != nil {
			t.Fatal(err)
		}
		if attrs, err := x.Xattrs(n); err != nil || !bytes.Equal(attrs["user.nm"], random(1, size)) {
			t.Errorf("%d bytes: %v", size, err)
		}
		if inline := n.Rec.XattrBlock == 0; inline != (size <= 68) {
			t.Errorf("%d bytes: in the inode %v", size, inline)
		}
	}
	n, err := x.Resolve("many", true)
	if err != nil {
		t.Fatal(err)
	}
	if attrs, err := x.Xattrs(n); err != nil || len(attrs) != 60 {
		t.Errorf("%d of 60 attributes, %v", len(attrs), err)
	}
}

func TestNames(t *testing.T) {
	names := []string{strings.Repeat("n", 255), strings.Repeat("ü", 127), "\xff\xfe\x80", "new\nline", " ", "a\\b", "..x", ".x", "日本語"}
	for i := range 1200 {
		names = append(names, fmt.Sprintf("%c\xe4\xf6\x81%d", rune(0x80+i), i), strings.Repeat("z", i%250)+fmt.Sprint(i))
	}
	path := buildImage(t, build.Options{}, func(b *build.Builder) error {
		for _, name := range names {
			if err := file(b, "d/"+name, []byte(name)); err != nil {
				return err
			}
		}
		if err := file(b, strings.Repeat("n", 256), nil); !errors.Is(err, ext4.ErrInvalid) {
			t.Errorf("a name of 256 bytes gives %v", err)
		}
		return nil
	})
	x := open(t, path)
	dir, err := x.Resolve("d", true)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := x.ReadDir(dir)
	if err != nil || len(entries) != len(names) {
		t.Errorf("%d of %d names, %v", len(entries), len(names), err)
	}
	for _, name := range names[:20] {
		if n, err := x.Lookup(dir, name); err != nil || n.Size != int64(len(name)) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// TestIndexDepth goes over the edge between one and two levels of a directory's index: 507 leaves.
func TestIndexDepth(t *testing.T) {
	const perLeaf = (ext4.BlockSize - format.DirTail) / (format.DirentHeader + 252)
	for _, leaves := range []int{2, 507, 508, 1020} {
		path := buildImage(t, build.Options{}, func(b *build.Builder) error {
			for i := range leaves * perLeaf {
				if err := b.Device(fmt.Sprintf("d/%0252d", i), ext4.ModeFIFO, 0, 0, attr(0o600)); err != nil {
					return err
				}
			}
			return nil
		})
		x := open(t, path)
		dir, err := x.Resolve("d", true)
		if err != nil {
			t.Fatal(err)
		}
		nodes := int64(0)
		if leaves > 507 {
			nodes = int64(leaves+509) / 510
		}
		if got := dir.Size/ext4.BlockSize - 1 - nodes; got != int64(leaves) {
			t.Errorf("%d leaves instead of %d", got, leaves)
		}
		if entries, err := x.ReadDir(dir); err != nil || len(entries) != leaves*perLeaf {
			t.Errorf("%d names, %v", len(entries), err)
		}
	}
}

func TestManySubdirectories(t *testing.T) {
	for _, count := range []int{64998, 70000} {
		path := buildImage(t, build.Options{}, func(b *build.Builder) error {
			for i := range count {
				if err := b.Mkdir(fmt.Sprintf("d/%d", i), attr(0o755)); err != nil {
					return err
				}
			}
			return nil
		})
		x := open(t, path)
		dir, err := x.Resolve("d", true)
		want := count + 2
		if want > 65000 {
			want = 1
		}
		if err != nil || dir.Links != want {
			t.Errorf("%d subdirectories: %d links, %v", count, dir.Links, err)
		}
	}
}

func TestManyInodesNeedGroups(t *testing.T) {
	if testing.Short() {
		t.Skip("makes 200,000 files: left out with -short")
	}
	buildImage(t, build.Options{}, func(b *build.Builder) error {
		for i := range 200_000 {
			if err := b.Device(fmt.Sprintf("a name as long as others are %d", i), ext4.ModeFIFO, 0, 0, attr(0o600)); err != nil {
				return err
			}
		}
		return nil
	})
}

// TestImageOverGroups makes an image of its content's size whose data runs over the copies of the superblock.
func TestImageOverGroups(t *testing.T) {
	for _, mib := range []int{126, 127, 128, 260} {
		chunk := random(7, 1<<20)
		path := buildImage(t, build.Options{}, func(b *build.Builder) error {
			for i := range mib {
				if err := file(b, fmt.Sprintf("f%d", i), chunk); err != nil {
					return err
				}
			}
			return nil
		})
		st, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if st.Size()%(1<<20) != 0 || st.Size() > int64(mib+8)<<20 {
			t.Errorf("%d MiB of content make an image of %d bytes", mib, st.Size())
		}
		if got := content(t, open(t, path), fmt.Sprintf("f%d", mib-1)); !bytes.Equal(got, chunk) {
			t.Errorf("%d MiB: content differs", mib)
		}
	}
}

func TestSameBytes(t *testing.T) {
	sum := func(procs int) [32]byte {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
		path := buildImage(t, build.Options{Size: 256 << 20, Journal: true}, func(b *build.Builder) error {
			a := attr(0o644)
			a.Xattrs = map[string][]byte{}
			for i := range 20 {
				a.Xattrs[fmt.Sprintf("user.%d", i)] = random(uint64(i), 30)
			}
			for i := range 3000 {
				if err := file(b, fmt.Sprintf("%d/%d", i%7, i), random(uint64(i), i)); err != nil {
					return err
				}
			}
			b.NextLayer()
			for i := range 50 {
				data := random(uint64(i), 9000*i)
				if err := b.File(fmt.Sprintf("%d/%d", i%7, i), a, int64(len(data)), bytes.NewReader(data)); err != nil {
					return err
				}
			}
			return b.Whiteout("3")
		})
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(data)
	}
	if one, many := sum(1), sum(4); one != many {
		t.Error("the bytes depend on the number of processors")
	}
}

func TestFeatures(t *testing.T) {
	for _, c := range []struct {
		opt  build.Options
		want []string
	}{
		{build.Options{Size: 512 << 20, Journal: true, Label: "sixteen letters."}, []string{
			"Filesystem volume name:   sixteen letters.",
			"Filesystem features:      has_journal ext_attr dir_index filetype extent 64bit flex_bg metadata_csum_seed " +
				"sparse_super large_file huge_file dir_nlink extra_isize metadata_csum",
			"Filesystem flags:         signed_directory_hash ",
			"Default mount options:    user_xattr acl",
			"Filesystem state:         clean",
			"Errors behavior:          Remount read-only",
			"Inode count:              32768",
			"Block count:              131072",
			"Reserved block count:     0",
			"Inode size:               256",
			"Total journal size:       16M",
		}},
		{build.Options{}, []string{
			"Filesystem features:      ext_attr dir_index filetype extent 64bit flex_bg metadata_csum_seed " +
				"sparse_super large_file huge_file dir_nlink extra_isize metadata_csum",
			"Block count:              512",
		}},
	} {
		path := buildImage(t, c.opt, nil)
		// Versions differ in a tab.
		out := bytes.ReplaceAll(tool(t, "dumpe2fs", "-h", path), []byte(":\t"), []byte(":     "))
		for _, line := range c.want {
			if !bytes.Contains(out, []byte(line+"\n")) {
				t.Errorf("dumpe2fs does not say %q:\n%s", line, out)
			}
		}
		if x := open(t, path); len(listing(t, x)) != 0 {
			t.Error("a fresh root is not empty")
		}
	}
}

func TestRefusals(t *testing.T) {
	for name, opt := range map[string]build.Options{
		"label":   {Size: 64 << 20, Label: "seventeen letters"},
		"journal": {Journal: true},
		"size":    {Size: -1},
		"huge":    {Size: 1 << 50},
	} {
		if _, err := tryBuild(t, opt, nil); !errors.Is(err, ext4.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := tryBuild(t, build.Options{Size: 1 << 20, Journal: true}, nil); !errors.Is(err, ext4.ErrTooLarge) {
		t.Errorf("tiny: %v", err)
	}
}
