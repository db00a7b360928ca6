package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"microagent/runtime/compress"
)

// wanted is a module that a guest loads; what it depends on comes with it.
type wanted struct {
	name     string
	optional bool
}

// modulesFor lists what each VMM's devices need, in the order to load.
var modulesFor = map[VMM][]wanted{
	Adapter: {
		{"virtio_pci", false}, {"virtio_console", false}, {"virtio_blk", false}, {"ext4", false},
		{"virtio_rng", true},
	},
	CloudHypervisor: {
		{"virtio_pci", false}, {"vmw_vsock_virtio_transport", false}, {"virtio_blk", false}, {"ext4", false},
		{"virtio_rng", true},
	},
}

// quotaModules are loaded where a disk with quotas is mounted, and by no other guest: ext4 asks for them by name.
var quotaModules = []wanted{{"quota_v2", true}}

// networkModules are loaded by guests that have a network, and by no other.
var networkModules = []wanted{{"tun", true}}

// relevant says whether a file below lib/modules/RELEASE can be needed by what is wanted.
func relevant(name string) bool {
	_, name, ok := strings.Cut(name, "/kernel/")
	if !ok || !isModule(name) {
		return false
	}
	for _, prefix := range []string{
		"drivers/virtio/", "drivers/block/virtio_blk.", "drivers/char/virtio_console.", "drivers/char/hw_random/",
		"drivers/net/tun.", "net/vmw_vsock/", "fs/ext4/", "fs/jbd2/", "fs/mbcache.", "fs/quota/", "lib/", "crypto/",
	} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func isModule(name string) bool {
	for _, ext := range []string{".ko", ".ko.xz", ".ko.zst", ".ko.gz"} {
		if strings.HasSuffix(name, ext) {
			return true
		}
	}
	return false
}

// moduleName is the kernel's name of a module file: no folder, no extension, one kind of dash.
func moduleName(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// maxModule bounds an unpacked module, in bytes.
const maxModule = 64 << 20

// unpackModule gives a module's ELF bytes.
func unpackModule(name string, r io.Reader) ([]byte, error) {
	z, err := compress.Open(r, compress.Limits{Formats: compress.Kernels, Size: maxModule})
	if err != nil {
		return nil, fmt.Errorf("unpack module %s: %w", name, err)
	}
	defer z.Close()
	data, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("unpack module %s: %w", name, err)
	}
	return data, nil
}

// module is what a module says of itself in its .modinfo section.
type module struct {
	file    string // name in the store: NAME.ko
	data    []byte
	depends []string
	release string // from vermagic
}

func parseModule(name string, data []byte) (*module, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", name, err)
	}
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("read module %s: it has no .modinfo", name)
	}
	info, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read module %s: %w", name, err)
	}
	m := &module{file: name + ".ko", data: data}
	for field := range bytes.SplitSeq(info, []byte{0}) {
		key, value, _ := strings.Cut(string(field), "=")
		switch key {
		case "depends":
			for d := range strings.SplitSeq(value, ",") {
				if d != "" {
					m.depends = append(m.depends, strings.ReplaceAll(d, "-", "_"))
				}
			}
		case "softdep":
			m.depends = append(m.depends, preDeps(value)...)
		case "vermagic":
			m.release, _, _ = strings.Cut(value, " ")
		}
	}
	return m, nil
}

// preDeps are the modules that "pre: a b post: c" wants before.
func preDeps(value string) []string {
	var list []string
	pre := false
	for word := range strings.FieldsSeq(value) {
		switch word {
		case "pre:":
			pre = true
		case "post:":
			pre = false
		default:
			if pre {
				list = append(list, "?"+strings.ReplaceAll(word, "-", "_"))
			}
		}
	}
	return list
}

// pick orders what a list wants and what that depends on. A name beginning with "?" may be missing.
func pick(list []wanted, have map[string]*module, builtin map[string]bool) ([]*module, error) {
	var order []*module
	state := map[string]int{}
	const visiting, done = 1, 2
	var visit func(name, by string) error
	visit = func(name, by string) error {
		name, optional := strings.CutPrefix(name, "?")
		if builtin[name] || state[name] == done {
			return nil
		}
		m := have[name]
		switch {
		case m == nil && optional:
			return nil
		case m == nil:
			return fmt.Errorf("the kernel has no module %s, which %s needs", name, by)
		case state[name] == visiting:
			return fmt.Errorf("module %s depends on itself", name)
		}
		state[name] = visiting
		for _, d := range m.depends {
			if err := visit(d, name); err != nil {
				return err
			}
		}
		state[name] = done
		order = append(order, m)
		return nil
	}
	for _, w := range list {
		if w.optional {
			before := slices.Clone(order)
			if visit(w.name, "the guest") != nil {
				order = before
			}
			continue
		}
		if err := visit(w.name, "the guest"); err != nil {
			return nil, err
		}
	}
	return order, nil
}

// parseBuiltin reads modules.builtin: a path a line.
func parseBuiltin(data []byte) map[string]bool {
	names := map[string]bool{}
	for line := range strings.FieldsSeq(string(data)) {
		names[moduleName(line)] = true
	}
	return names
}

// signatureMark ends a signed module: the kernel's MODULE_SIG_STRING. Before it a struct module_signature of 12
// bytes (include/linux/module_signature.h), whose last four are the length of the signature before that.
const signatureMark = "~Module signature appended~\n"

// unsigned cuts the signature off: checking it costs most of the time to load a module under emulation. A module
// without one stays as it is.
func unsigned(data []byte) ([]byte, error) {
	body, ok := bytes.CutSuffix(data, []byte(signatureMark))
	if !ok {
		return data, nil
	}
	const infoSize = 12
	if len(body) < infoSize {
		return nil, errors.New("its signature is damaged")
	}
	size := int64(binary.BigEndian.Uint32(body[len(body)-4:]))
	rest := int64(len(body)) - infoSize - size
	if rest <= 0 {
		return nil, errors.New("its signature is damaged")
	}
	return body[:rest], nil
}

// untyped makes a module's types, section .BTF, one that the kernel does not look for (find_module_sections in its
// kernel/module/main.c goes by the name): it would check them under emulation, and nothing in a guest needs them.
func untyped(data []byte) ([]byte, error) {
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	names := f.Section(".shstrtab")
	if names == nil {
		return data, nil
	}
	text, err := names.Data()
	if err != nil {
		return nil, fmt.Errorf("read it: %w", err)
	}
	i := bytes.Index(text, []byte("\x00.BTF\x00"))
	if i < 0 {
		return data, nil
	}
	data = bytes.Clone(data)
	copy(data[int(names.Offset)+i:], "\x00.xTF")
	return data, nil
}
