package disk

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
)

// recipeLayers hold at least one of all that the layer walker and the builder decide about.
func recipeLayers(t testing.TB) tarLayers {
	t.Helper()
	dir := func(name string, mode int64, uid int) tarEntry {
		return tarEntry{Header: tar.Header{Name: name, Typeflag: tar.TypeDir, Mode: mode, Uid: uid}}
	}
	special := func(kind byte, name, target string) tarEntry {
		return tarEntry{Header: tar.Header{Name: name, Typeflag: kind, Linkname: target, Devmajor: 1, Devminor: 3}}
	}
	late := time.Date(2300, 6, 1, 0, 0, 0, 5, time.UTC)
	lower := []tarEntry{
		dir("usr/", 0o755, 0), reg("z", "OLD"), reg("etc/gone", "x"),
		{tar.Header{Name: "suid", Mode: 0o4755, Uid: 70000, Gid: 5, ModTime: late, Format: tar.FormatPAX}, "hello"},
		{tar.Header{Name: "noid", Uid: math.MaxUint32, Gid: math.MaxUint32, Format: tar.FormatPAX}, "nobody's"},
		{tar.Header{Name: "capable", PAXRecords: map[string]string{
			"SCHILY.xattr.security.capability": "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
			"SCHILY.xattr.user.long":           strings.Repeat("v", 1000),
		}}, "x"},
		special(tar.TypeSymlink, "bin", "usr/bin"), special(tar.TypeSymlink, "far", strings.Repeat("l", 100)),
		special(tar.TypeChar, "dev/null", ""), special(tar.TypeFifo, "pipe", ""), special(tar.TypeLink, "hard", "suid"),
		reg("large", strings.Repeat("0123456789abcdef", 200_000)), reg("holes", strings.Repeat("\x00", 1<<20)+"end"),
		dir("hidden/", 0o2770, 7), dir("hidden/keep/", 0o700, 9), dir("+x/", 0o2770, 7), dir("+x/keep/", 0o700, 9),
	}
	for i := range 1500 {
		lower = append(lower, reg(fmt.Sprintf("many/file with a rather long name %d", i), ""))
	}
	return tarLayers{tarOf(t, lower...), tarOf(t,
		special(tar.TypeLink, "a", "z"), reg("z", "NEW"), reg("etc/.wh.gone", ""),
		reg(".wh..wh.plnk/123.456", "hello"), special(tar.TypeLink, "usr/bin/a", ".wh..wh.plnk/123.456"),
		reg("hidden/keep/new", ""), reg("hidden/.wh..wh..opq", ""), reg("+x/keep/new", ""), reg(".wh.+x", ""),
	)}
}

// What is made of the same content must not change under the same key: cached disks would differ from new ones.
// Whoever changes the bytes on purpose raises the version in the key's prefix, then the sum here.
func TestBytesChangeOnlyWithTheKey(t *testing.T) {
	folder := t.TempDir()
	tree(t, folder)
	layers := recipeLayers(t)
	d := newDisks(t, layers)
	packed := put(t, "a.tar", sampleTar(t))
	for name, c := range map[string]struct {
		make        func() (driver.DiskImage, error)
		prefix, sum string
	}{
		"root file system": {func() (driver.DiskImage, error) {
			return d.RootFS(t.Context(), driver.RootFSSpec{ImageDigest: "sha256:1", Size: 64 << 20}, nil)
		}, "rootfs-v2-", "57546cfef5f25903347473f70c0a7e883fe3c25922baf0da5abb39037b2b4794"},
		"bundle of a directory": {func() (driver.DiskImage, error) {
			image, _, err := d.Bundle(t.Context(), from(folder), "", nil)
			return image, err
		}, "bundle-v1-", "28b2efd44eddfc98c2f53032a6946c828f177b7f02abf6221097d324fad18ba5"},
		"bundle of a tar": {func() (driver.DiskImage, error) {
			image, _, err := d.Bundle(t.Context(), from(packed), "", nil)
			return image, err
		}, "bundle-v1-", "358c8d9a2cb399b257a4484d2684bce793893ba0896d15f4f15ade2f37e6dd3c"},
	} {
		image, err := c.make()
		if err != nil {
			t.Fatal(err)
		}
		if got := sumOf(t, image.Path); got != c.sum || !strings.HasPrefix(image.Key, c.prefix) {
			t.Errorf("%s: sum %s under the key %s, want %s under %s", name, got, image.Key, c.sum, c.prefix)
		}
	}
}

func sumOf(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// A disk that an earlier version made stays for who names it, is not taken for a new one, and goes when nobody names it.
func TestDisksOfEarlierVersions(t *testing.T) {
	d := newDisks(t, tarLayers{tarOf(t, reg("a", "1"))})
	spec := driver.RootFSSpec{ImageDigest: "sha256:1", Size: 64 << 20}
	image, err := d.RootFS(t.Context(), spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	old := keyOf("rootfs-v1-", spec.ImageDigest, "67108864")
	if err := os.Rename(image.Path, d.state.CachedDisk(old)); err != nil {
		t.Fatal(err)
	}
	if _, err := d.FindRootFS(context.Background(), spec); !errors.Is(err, driver.ErrNotFound) {
		t.Errorf("the earlier version's disk is taken for this one's: %v", err)
	}
	if err := d.Place(t.Context(), old, d.state.VolumeImage("x")); err != nil {
		t.Errorf("a record that names it: %v", err)
	}
	if _, removed, err := d.Prune(t.Context(), map[string]bool{old: true}, false); err != nil || len(removed) != 0 {
		t.Errorf("removed %v, %v though it is named", removed, err)
	}
	if _, removed, err := d.Prune(t.Context(), nil, false); err != nil || len(removed) != 1 || removed[0] != old {
		t.Errorf("removed %v, %v though nobody names it", removed, err)
	}
}
