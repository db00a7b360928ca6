package kernel

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz"

	"microagent/runtime/driver"
)

const (
	elfHeader  = 64
	sectionHdr = 64
	programHdr = 56
)

// elfFile is the header of a 64-bit little-endian ELF file.
func elfFile(phoff, phnum, shoff, shnum, shstr uint64) []byte {
	le := binary.LittleEndian
	b := make([]byte, elfHeader)
	copy(b, "\x7fELF\x02\x01\x01")
	le.PutUint16(b[16:], 1)
	le.PutUint16(b[18:], 62)
	le.PutUint32(b[20:], 1)
	le.PutUint64(b[32:], phoff)
	le.PutUint64(b[40:], shoff)
	le.PutUint16(b[52:], elfHeader)
	le.PutUint16(b[54:], programHdr)
	le.PutUint16(b[56:], uint16(phnum))
	le.PutUint16(b[58:], sectionHdr)
	le.PutUint16(b[60:], uint16(shnum))
	le.PutUint16(b[62:], uint16(shstr))
	return b
}

// moduleELF is a module that has nothing but sections .modinfo and .BTF.
func moduleELF(fields ...string) []byte {
	le := binary.LittleEndian
	info := strings.Join(fields, "\x00") + "\x00"
	names := "\x00.modinfo\x00.shstrtab\x00.BTF\x00"
	infoAt := elfHeader
	namesAt := infoAt + len(info)
	tableAt := namesAt + len(names)
	b := elfFile(0, 0, uint64(tableAt), 4, 2)
	b = append(b, info...)
	b = append(b, names...)
	b = append(b, make([]byte, sectionHdr)...)
	for _, s := range []struct{ name, kind, at, size int }{{1, 1, infoAt, len(info)}, {10, 3, namesAt, len(names)}, {20, 1, infoAt, 1}} {
		h := make([]byte, sectionHdr)
		le.PutUint32(h, uint32(s.name))
		le.PutUint32(h[4:], uint32(s.kind))
		le.PutUint64(h[24:], uint64(s.at))
		le.PutUint64(h[32:], uint64(s.size))
		b = append(b, h...)
	}
	return b
}

// kernelELF has a note with the PVH entry, or another one.
func kernelELF(note uint32) []byte {
	le := binary.LittleEndian
	b := elfFile(elfHeader, 1, 0, 0, 0)
	p := make([]byte, programHdr)
	le.PutUint32(p, 4) // PT_NOTE
	le.PutUint64(p[8:], elfHeader+programHdr)
	le.PutUint64(p[32:], 24)
	b = append(b, p...)
	for _, v := range []uint32{4, 8, note} {
		b = le.AppendUint32(b, v)
	}
	b = append(b, "Xen\x00"...)
	return append(b, make([]byte, 8+100_000)...)
}

// bzImage wraps a packed payload as boot.rst describes, with the unpacked size behind it.
func bzImage(packed []byte, size int) []byte {
	le := binary.LittleEndian
	const offset = 0x20
	payload := le.AppendUint32(bytes.Clone(packed), uint32(size))
	b := make([]byte, 3*512+offset)
	b[0x1f1] = 2
	copy(b[0x202:], "HdrS")
	le.PutUint16(b[0x206:], 0x20f)
	le.PutUint32(b[0x248:], offset)
	le.PutUint32(b[0x24c:], uint32(len(payload)))
	return append(append(b, payload...), "trailing bytes"...)
}

func lz4Blocks(data []byte) []byte {
	out := []byte{0x02, 0x21, 0x4c, 0x18}
	for chunk := range slices.Chunk(data, 8<<20) {
		block := make([]byte, lz4.CompressBlockBound(len(chunk)))
		n, err := lz4.CompressBlock(chunk, block, nil)
		if err != nil {
			panic(err)
		}
		out = binary.LittleEndian.AppendUint32(out, uint32(n))
		out = append(out, block[:n]...)
	}
	return out
}

func packed(t *testing.T, data []byte, open func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var buf bytes.Buffer
	w, err := open(&buf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestUnpackVmlinux(t *testing.T) {
	elf := kernelELF(18)
	large := append(bytes.Clone(elf), make([]byte, 9<<20)...) // two lz4 blocks
	gz := packed(t, elf, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
	for name, c := range map[string]struct{ packed, want []byte }{
		"lz4":  {lz4Blocks(large), large},
		"none": {elf, elf},
		"gzip": {gz[:len(gz)-4], elf}, // its own last four bytes are the size
		"xz":   {packed(t, elf, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) }), elf},
		"zstd": {packed(t, elf, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) }), elf},
	} {
		got, err := unpackVmlinux(bzImage(c.packed, len(c.want)))
		if err != nil || !bytes.Equal(got, c.want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	whole := bzImage(lz4Blocks(elf), len(elf))
	for name, image := range map[string][]byte{
		"not a bzImage": []byte("hello"),
		"wrong size":    bzImage(lz4Blocks(elf), len(elf)+1),
		"huge size":     bzImage(lz4Blocks(elf), 1<<31),
		"cut off":       whole[:len(whole)-1000],
		"damaged":       bzImage([]byte{0x02, 0x21, 0x4c, 0x18, 0xff, 0xff, 0, 0, 1, 2}, len(elf)),
		"unknown magic": bzImage([]byte("what is this?"), 13),
		"no PVH":        bzImage(lz4Blocks(kernelELF(17)), len(elf)),
	} {
		if _, err := unpackVmlinux(image); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestUnsigned(t *testing.T) {
	info := append(make([]byte, 8), 0, 0, 0, 5)
	signed := slices.Concat([]byte("module"), []byte("12345"), info, []byte(signatureMark))
	if got, err := unsigned(signed); err != nil || string(got) != "module" {
		t.Errorf("signed: %q, %v", got, err)
	}
	if got, err := unsigned([]byte("module")); err != nil || string(got) != "module" {
		t.Errorf("unsigned: %q, %v", got, err)
	}
	if _, err := unsigned([]byte("x" + signatureMark)); err == nil {
		t.Error("a mark without a signature was taken")
	}
	if _, err := unsigned(signed[6:]); err == nil {
		t.Error("a signature without a module was taken")
	}
}

// TestUntyped: the kernel finds all sections but the types.
func TestUntyped(t *testing.T) {
	module := moduleELF("name=x")
	out, err := untyped(module)
	if err != nil || len(out) != len(module) {
		t.Fatalf("%d bytes of %d, %v", len(out), len(module), err)
	}
	before, errBefore := elf.NewFile(bytes.NewReader(module))
	after, errAfter := elf.NewFile(bytes.NewReader(out))
	if errBefore != nil || errAfter != nil {
		t.Fatal(errBefore, errAfter)
	}
	if before.Section(".BTF") == nil || after.Section(".BTF") != nil || after.Section(".modinfo") == nil || len(after.Sections) != len(before.Sections) {
		t.Errorf("sections: %v", after.Sections)
	}
	if again, err := untyped(out); err != nil || !bytes.Equal(again, out) {
		t.Errorf("once more: %v", err)
	}
	if _, err := untyped([]byte("no module")); err == nil {
		t.Error("what is no module was taken")
	}
}

func FuzzUnpackVmlinux(f *testing.F) {
	f.Add(bzImage(lz4Blocks([]byte("abc")), 3))
	f.Fuzz(func(t *testing.T, in []byte) {
		if len(in) > 0x24c && binary.LittleEndian.Uint32(in[max(len(in)-4, 0):]) > 1<<20 {
			return // the claimed size bounds what is allocated: keep the fuzzer small
		}
		_, _ = unpackVmlinux(in)
	})
}

// deb is a Debian package with these files in data.tar.
func deb(t *testing.T, ext string, files map[string][]byte) string {
	t.Helper()
	var data bytes.Buffer
	w := tar.NewWriter(&data)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	body := data.Bytes()
	switch ext {
	case ".xz":
		body = packed(t, body, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) })
	case ".zst":
		body = packed(t, body, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })
	case ".gz":
		body = packed(t, body, func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil })
	}
	path := filepath.Join(t.TempDir(), "linux.deb")
	archive := bytes.NewBufferString(arMagic)
	for _, m := range []struct {
		name string
		data []byte
	}{{"debian-binary", []byte("2.0\n")}, {"control.tar", []byte("odd")}, {"data.tar" + ext, body}} {
		fmt.Fprintf(archive, "%-16s%-12d%-6d%-6d%-8o%-10d%s", m.name, 0, 0, 0, 0o100644, len(m.data), arEnd)
		archive.Write(m.data)
		if len(m.data)%2 == 1 {
			archive.WriteByte('\n')
		}
	}
	if err := os.WriteFile(path, archive.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestImportDeb(t *testing.T) {
	const release = "6.1.0-1-cloud-amd64"
	p := fakeParts(release)
	elf := kernelELF(18)
	files := map[string][]byte{
		"./boot/vmlinuz-" + release:                             bzImage(lz4Blocks(elf), len(elf)),
		"./lib/modules/" + release + "/modules.builtin":         []byte("kernel/fs/ext4/ext4.ko\n"),
		"./lib/modules/" + release + "/kernel/net/bluetooth.ko": []byte("not read"),
	}
	for name, data := range p.modules {
		where := "drivers/virtio/"
		if strings.Contains(name, "vsock") {
			where = "net/vmw_vsock/"
		}
		file := "./lib/modules/" + release + "/kernel/" + where + strings.ReplaceAll(name, "_", "-") + ".ko"
		if name == "virtio" {
			file += ".xz"
			data = packed(t, data, func(w io.Writer) (io.WriteCloser, error) { return xz.NewWriter(w) })
		}
		if name == "vsock" {
			file += ".zst"
			data = packed(t, data, func(w io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(w) })
		}
		if name == "virtio_blk" {
			file = "./lib/modules/" + release + "/kernel/drivers/block/virtio_blk.ko"
		}
		files[file] = data
	}
	for _, ext := range []string{"", ".xz", ".zst", ".gz"} {
		s := newStore(t)
		k, err := s.ImportDeb(t.Context(), []string{deb(t, ext, files)}, nil)
		if err != nil {
			t.Errorf("data.tar%s: %v", ext, err)
			continue
		}
		b, err := s.Boot(k.ID, CloudHypervisor, 1)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(b.Kernel); err != nil || !bytes.Equal(got, elf) {
			t.Errorf("data.tar%s: kernel of %d bytes, %v", ext, len(got), err)
		}
		if got, want := cpioNames(t, b.Initramfs), []string{
			"dev", "proc", "sys", "newroot", "modules", "init", "modules/virtio.ko", "modules/virtio_ring.ko", "modules/virtio_pci.ko",
			"modules/vsock.ko", "modules/vmw_vsock_virtio_transport.ko", "modules/virtio_blk.ko", "modules/list", "modules/quota", "modules/network",
		}; !slices.Equal(got, want) {
			t.Errorf("initramfs holds %q", got)
		}
	}
	notDeb := filepath.Join(t.TempDir(), "x.deb")
	if err := os.WriteFile(notDeb, []byte("<html>"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{notDeb, filepath.Join(t.TempDir(), "none"), deb(t, ".lzma", files)} {
		_, err := newStore(t).ImportDeb(t.Context(), []string{bad}, nil)
		if !errors.Is(err, driver.ErrInvalid) || driver.Next(err) == "" {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// cpioNames lists an archive with cpio(1), whose word counts.
func cpioNames(t *testing.T, file string) []string {
	t.Helper()
	if _, err := exec.LookPath("cpio"); err != nil {
		t.Skip("cpio is not installed")
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	cmd := exec.Command("cpio", "-t", "--quiet")
	cmd.Stdin = f
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(out))
}

func TestImportFiles(t *testing.T) {
	s := newStore(t)
	dir := t.TempDir()
	p := fakeParts("6.1")
	elf := kernelELF(18)
	image := filepath.Join(dir, "vmlinuz")
	if err := os.WriteFile(image, bzImage(lz4Blocks(elf), len(elf)), 0o644); err != nil {
		t.Fatal(err)
	}
	modules := filepath.Join(dir, "lib/modules/6.1")
	if _, err := s.ImportFiles(t.Context(), image, modules, nil); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("no modules folder: %v", err)
	}
	for name, data := range p.modules {
		at := filepath.Join(modules, "kernel/drivers/virtio", name+".ko")
		if strings.Contains(name, "vsock") {
			at = filepath.Join(modules, "kernel/net/vmw_vsock", name+".ko")
		}
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(modules, "modules.builtin"), []byte("kernel/fs/ext4/ext4.ko\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	k, err := s.ImportFiles(t.Context(), image, modules, nil)
	if err != nil || k.Release != "6.1" {
		t.Errorf("%+v, %v", k, err)
	}
	if _, err := s.ImportFiles(t.Context(), filepath.Join(dir, "none"), modules, nil); !errors.Is(err, driver.ErrInvalid) {
		t.Errorf("no image: %v", err)
	}
}

func TestKernelDependency(t *testing.T) {
	out := "linux-image-cloud-amd64\n  Depends: linux-image-6.1.0-56-cloud-amd64\n"
	if got, ok := kernelDependency(out); !ok || got != "linux-image-6.1.0-56-cloud-amd64" {
		t.Errorf("%q, %v", got, ok)
	}
	for _, bad := range []string{"", "linux-image-cloud-amd64\n  Depends: initramfs-tools\n", "  Depends: linux-image--o=x\n"} {
		if got, ok := kernelDependency(bad); ok {
			t.Errorf("%q gave %q", bad, got)
		}
	}
}

func TestAptThatIsMissingOrFails(t *testing.T) {
	s := newStore(t)
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if _, err := s.ImportApt(t.Context(), nil); !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(driver.Next(err), "--deb") {
		t.Errorf("no apt: %v, next %q", err, driver.Next(err))
	}
	script := "#!/bin/sh\necho 'E: No packages found' >&2\nexit 100\n"
	for _, name := range []string{"apt-get", "apt-cache"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, err := s.ImportApt(t.Context(), nil)
	if !errors.Is(err, driver.ErrNotFound) || !strings.Contains(driver.Next(err), "apt-get update") || !strings.Contains(err.Error(), "No packages found") {
		t.Errorf("no lists: %v, next %q", err, driver.Next(err))
	}
}
