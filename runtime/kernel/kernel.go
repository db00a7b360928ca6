// Package kernel keeps the guest kernels that are installed: the kernel image, the few modules a guest needs, and
// the initramfs with the guest binary. It promises that what a VMM gets is whole (published at once, or not at all),
// that the same inputs give the same initramfs, and that nothing is fetched but by Apt, through apt and its
// signatures. It never runs as part of a start: a start only reads, and builds an initramfs that is missing.
//
//	kernels/ARCH/ID/kernel.json     the record, written last
//	kernels/ARCH/ID/vmlinuz         as distributed
//	kernels/ARCH/ID/vmlinux         the ELF inside it, where it could be unpacked
//	kernels/ARCH/ID/modules/*.ko    unpacked, signed
//	kernels/ARCH/ID/initramfs-VMM-GUEST.cpio
//	kernels/ARCH/default            the id that was chosen, if one was
package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/pattern"
)

// Store is the kernels of one architecture in a state directory.
type Store struct {
	state layout.State
	arch  string
	guest func(arch string) ([]byte, error)
}

// New opens the store for an architecture in Go's words. guest gives the guest binary that goes into initramfs,
// packed or not (payload.Guest).
func New(state layout.State, arch string, guest func(arch string) ([]byte, error)) *Store {
	return &Store{state: state, arch: arch, guest: guest}
}

// Installed is a kernel in the store.
type Installed struct {
	ID      string    `json:"id"`
	Release string    `json:"release"` // "6.1.0-56-cloud-amd64"
	Arch    string    `json:"arch"`
	Source  string    `json:"source"` // the package or files it came from
	Created time.Time `json:"created"`
	Default bool      `json:"default"`
	Path    string    `json:"path"` // its folder
}

// record is kernel.json.
type record struct {
	Format  int       `json:"format"`
	ID      string    `json:"id"`
	Release string    `json:"release"`
	Source  string    `json:"source"`
	Created time.Time `json:"created"`
	// Image is the file that VMMs boot: "vmlinux", or "vmlinuz" with Why it is not.
	Image string `json:"image"`
	Why   string `json:"why,omitempty"`
	// Modules are the files to load for each VMM, in order.
	Modules map[VMM][]string `json:"modules"`
	// Quota are those that disks with quotas need besides, in order; none where that is built in, or where the kernel
	// has none.
	Quota []string `json:"quota,omitempty"`
	// Network are those of a guest that has a network, likewise.
	Network []string `json:"network,omitempty"`
}

const (
	recordFile  = "kernel.json"
	modulesDir  = "modules"
	defaultFile = "default"
)

var validID = pattern.Of(`^[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}$`)

func (s *Store) dir() string             { return s.state.Kernels(s.arch) }
func (s *Store) folder(id string) string { return s.state.Kernel(s.arch, id) }
func (s *Store) read(id string) (*record, error) {
	var r record
	if !validID().MatchString(id) {
		return nil, fs.ErrNotExist
	}
	if err := layout.ReadJSON(filepath.Join(s.folder(id), recordFile), &r); err != nil {
		return nil, err
	}
	if r.Format != layout.Format {
		return nil, fmt.Errorf("kernel %s has record format %d, this microagent knows %d", id, r.Format, layout.Format)
	}
	return &r, nil
}

// List gives what is installed, the newest release first.
func (s *Store) List() ([]Installed, error) {
	entries, err := os.ReadDir(s.dir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list kernels: %w", err)
	}
	var list []Installed
	for _, e := range entries {
		if !e.IsDir() || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		r, err := s.read(e.Name())
		if errors.Is(err, fs.ErrNotExist) {
			continue // being removed
		}
		if err != nil {
			return nil, fmt.Errorf("list kernels: %w", err)
		}
		list = append(list, Installed{
			ID: r.ID, Release: r.Release, Arch: s.arch, Source: r.Source, Created: r.Created, Path: s.folder(r.ID),
		})
	}
	slices.SortFunc(list, func(a, b Installed) int {
		return cmp.Or(compareVersions(b.Release, a.Release), b.Created.Compare(a.Created), cmp.Compare(a.ID, b.ID))
	})
	if len(list) == 0 {
		return nil, nil
	}
	chosen := slices.IndexFunc(list, func(k Installed) bool { return k.ID == s.chosen() })
	list[max(chosen, 0)].Default = true
	return list, nil
}

func (s *Store) chosen() string {
	data, err := os.ReadFile(filepath.Join(s.dir(), defaultFile))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// Default is the kernel that boots: the chosen one, or the newest release. ErrNotFound when none is installed.
func (s *Store) Default() (Installed, error) {
	list, err := s.List()
	if err != nil {
		return Installed{}, err
	}
	for _, k := range list {
		if k.Default {
			return k, nil
		}
	}
	return Installed{}, &driver.Error{
		Class: driver.ErrNotFound, Op: "find guest kernel for", Object: s.arch,
		Err: errors.New("none is installed"), Next: "microagent kernel install",
	}
}

// find resolves an id or a release; "" is the default.
func (s *Store) find(name string) (Installed, error) {
	if name == "" {
		return s.Default()
	}
	list, err := s.List()
	if err != nil {
		return Installed{}, err
	}
	for _, k := range list {
		if k.ID == name || k.Release == name {
			return k, nil
		}
	}
	return Installed{}, &driver.Error{
		Class: driver.ErrNotFound, Op: "find guest kernel", Object: name,
		Err: errors.New("it is not installed"), Next: "microagent kernel list",
	}
}

// Choose makes a kernel, by id or release, the default; "" goes back to the newest.
func (s *Store) Choose(name string) error {
	path := filepath.Join(s.dir(), defaultFile)
	if name == "" {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	k, err := s.find(name)
	if err != nil {
		return err
	}
	return layout.WriteFile(path, []byte(k.ID+"\n"))
}

// Remove deletes a kernel, by id or release. Guests that run keep what they booted; one of them that reboots can
// fail.
func (s *Store) Remove(name string) error {
	if name == "" {
		return &driver.Error{Class: driver.ErrInvalid, Op: "remove guest kernel", Err: errors.New("no name given")}
	}
	k, err := s.find(name)
	if err != nil {
		return err
	}
	// Without its record it is not there any more, whatever happens to the rest.
	if err := os.Remove(filepath.Join(k.Path, recordFile)); err != nil {
		return fmt.Errorf("remove kernel %s: %w", k.ID, err)
	}
	if err := os.RemoveAll(k.Path); err != nil {
		return fmt.Errorf("remove kernel %s: %w", k.ID, err)
	}
	return nil
}

// compareVersions orders releases as people read them: runs of digits by value, the rest by letters.
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		na, nb := leading(a, true), leading(b, true)
		if na != "" && nb != "" {
			va, _ := strconv.ParseUint(na, 10, 64)
			vb, _ := strconv.ParseUint(nb, 10, 64)
			if c := cmp.Compare(va, vb); c != 0 {
				return c
			}
		} else {
			na, nb = leading(a, false), leading(b, false)
			if c := cmp.Compare(na, nb); c != 0 {
				return c
			}
		}
		a, b = a[len(na):], b[len(nb):]
	}
	return cmp.Compare(len(a), len(b))
}

// leading is the run of digits (or of anything else) at the start of s.
func leading(s string, digits bool) string {
	i := strings.IndexFunc(s, func(r rune) bool { return (r >= '0' && r <= '9') != digits })
	if i < 0 {
		return s
	}
	return s[:i]
}
