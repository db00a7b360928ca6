package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"microagent/runtime/compress"
)

// maxVmlinux bounds an unpacked kernel, in bytes.
const maxVmlinux = 512 << 20

// unpackVmlinux gives the ELF kernel inside a bzImage. It sits where the setup header says (Linux,
// Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length), compressed, with its unpacked size
// in the last four bytes.
func unpackVmlinux(bz []byte) ([]byte, error) {
	const (
		setupSects    = 0x1f1
		magicAt       = 0x202
		version       = 0x206
		payloadOffset = 0x248
		payloadLength = 0x24c
		headerEnd     = 0x250
	)
	le := binary.LittleEndian
	if len(bz) < headerEnd || string(bz[magicAt:magicAt+4]) != "HdrS" {
		return nil, errors.New("it is no bzImage")
	}
	if v := le.Uint16(bz[version:]); v < 0x208 {
		return nil, fmt.Errorf("its boot protocol %#x says nothing about the payload", v)
	}
	sectors := int64(bz[setupSects])
	if sectors == 0 {
		sectors = 4
	}
	from := (sectors+1)*512 + int64(le.Uint32(bz[payloadOffset:]))
	size := int64(le.Uint32(bz[payloadLength:]))
	if size < 8 || from+size > int64(len(bz)) {
		return nil, errors.New("its payload lies outside the file")
	}
	payload := bz[from : from+size]
	want := int64(le.Uint32(payload[size-4:]))
	if want > maxVmlinux {
		return nil, fmt.Errorf("its payload claims %d bytes", want)
	}
	out, err := decompress(payload[:size-4], want)
	if err != nil {
		return nil, err
	}
	if int64(len(out)) != want {
		return nil, fmt.Errorf("its payload has %d bytes, not the %d that it claims", len(out), want)
	}
	return out, bootable(out)
}

// decompress unpacks a payload to the want bytes that it claims. gzip's own trailer ends with the size, so there the last
// four bytes belong to it as well.
func decompress(data []byte, want int64) ([]byte, error) {
	var tail []byte
	switch compress.Sniff(data) {
	case compress.Gzip:
		tail = binary.LittleEndian.AppendUint32(nil, uint32(want))
	case compress.Plain:
		if !bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
			return nil, fmt.Errorf("its payload has the unknown magic % x", data[:min(4, len(data))])
		}
		return data, nil
	}
	z, err := compress.Open(io.MultiReader(bytes.NewReader(data), bytes.NewReader(tail)), compress.Limits{Formats: compress.Kernels})
	if err != nil {
		return nil, fmt.Errorf("unpack the payload: %w", err)
	}
	defer z.Close()
	out := make([]byte, want)
	if _, err := io.ReadFull(z, out); err != nil {
		return nil, fmt.Errorf("unpack the payload: %w", err)
	}
	return out, nil
}

// bootable says whether an ELF kernel has what both VMMs start it by: the note with its 32-bit entry (PVH,
// XEN_ELFNOTE_PHYS32_ENTRY in include/xen/interface/elfnote.h).
func bootable(image []byte) error {
	const physEntry = 18
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return fmt.Errorf("read the unpacked kernel: %w", err)
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_NOTE {
			continue
		}
		notes, err := io.ReadAll(p.Open())
		if err != nil {
			return fmt.Errorf("read the unpacked kernel's notes: %w", err)
		}
		if hasNote(notes, f.ByteOrder, "Xen", physEntry) {
			return nil
		}
	}
	return errors.New("the unpacked kernel has no PVH entry")
}

// hasNote walks ELF notes: three words of name size, content size and type, then both, each padded to four bytes.
func hasNote(b []byte, order binary.ByteOrder, name string, kind uint32) bool {
	pad := func(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }
	for len(b) >= 12 {
		nameSize, size, got := order.Uint32(b), order.Uint32(b[4:]), order.Uint32(b[8:])
		b = b[12:]
		total := pad(nameSize) + pad(size)
		if total > uint64(len(b)) {
			return false
		}
		if got == kind && string(bytes.TrimRight(b[:nameSize], "\x00")) == name {
			return true
		}
		b = b[total:]
	}
	return false
}
