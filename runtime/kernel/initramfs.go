package kernel

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"microagent/runtime/compress"

	"github.com/cavaliergopher/cpio"
)

// moduleFile is a module as it goes into an initramfs.
type moduleFile struct {
	name string
	data []byte
}

// moduleList is modules to load at one time, in order: at once (initd.ModuleList), for disks with quotas (initd.QuotaList),
// for a network (initd.NetworkList).
type moduleList struct {
	name  string
	files []moduleFile
}

// writeInitramfs writes an uncompressed cpio (newc): the guest binary, unpacked, as /init, the modules, and the lists of
// them. The bytes are a function of the arguments alone.
func writeInitramfs(w io.Writer, guest []byte, lists []moduleList) error {
	guest, err := unpackGuest(guest)
	if err != nil {
		return err
	}
	out := cpio.NewWriter(w)
	inode := int64(0)
	add := func(name string, mode cpio.FileMode, data []byte) error {
		inode++
		h := &cpio.Header{Name: name, Mode: mode, Size: int64(len(data)), Links: 1, Inode: inode}
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		_, err := out.Write(data)
		return err
	}
	dir := func(name string) error { return add(name, cpio.TypeDir|0o755, nil) }
	for _, d := range []string{"dev", "proc", "sys", "newroot", "modules"} {
		if err := dir(d); err != nil {
			return err
		}
	}
	if err := add("init", cpio.TypeReg|0o755, guest); err != nil {
		return err
	}
	for _, list := range lists {
		for _, m := range list.files {
			if err := add("modules/"+m.name, cpio.TypeReg|0o644, m.data); err != nil {
				return err
			}
		}
	}
	for _, list := range lists {
		var paths strings.Builder
		for _, m := range list.files {
			paths.WriteString("/modules/" + m.name + "\n")
		}
		if err := add("modules/"+list.name, cpio.TypeReg|0o644, []byte(paths.String())); err != nil {
			return err
		}
	}
	return out.Close()
}

// maxGuest bounds the guest binary, in bytes.
const maxGuest = 64 << 20

func unpackGuest(packed []byte) ([]byte, error) {
	z, err := compress.Open(bytes.NewReader(packed), compress.Limits{Formats: compress.Kernels, Size: maxGuest})
	if err != nil {
		return nil, fmt.Errorf("unpack the guest binary: %w", err)
	}
	defer z.Close()
	data, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("unpack the guest binary: %w", err)
	}
	return data, nil
}
