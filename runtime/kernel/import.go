package kernel

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// parts is a kernel as a source gives it.
type parts struct {
	source  string // for the record
	release string
	vmlinuz []byte
	modules map[string][]byte // unpacked, by name
	builtin map[string]bool   // nil when the source does not say
}

// install picks, checks and publishes. A kernel that is there already is a success.
func (s *Store) install(ctx context.Context, p *parts, progress driver.Progress) (Installed, error) {
	fail := func(class error, err error) (Installed, error) {
		next := "use Debian's linux-image-cloud package, or a kernel with virtio and ext4"
		if len(p.vmlinuz) == 0 || len(p.modules) == 0 || p.builtin == nil {
			next = "give every package that the kernel is split into with --deb FILE each; dpkg-deb -f FILE Depends lists them"
		}
		return Installed{}, &driver.Error{Class: class, Op: "install kernel from", Object: p.source, Err: err, Next: next}
	}
	if len(p.vmlinuz) == 0 {
		return fail(driver.ErrInvalid, errors.New("it holds no kernel image"))
	}
	r := &record{Format: layout.Format, Source: p.source, Created: time.Now().UTC(), Modules: map[VMM][]string{}}
	chosen, err := choose(p, r)
	if err != nil {
		return fail(driver.ErrInvalid, err)
	}
	if err := ctx.Err(); err != nil {
		return Installed{}, err
	}
	progress.Report("unpack kernel "+r.Release, 0, 0)
	vmlinux, err := unpackVmlinux(p.vmlinuz)
	r.Image = "vmlinux"
	if err != nil {
		r.Image, r.Why = "vmlinuz", err.Error()
	}
	sum := sha256.Sum256(p.vmlinuz)
	r.ID = r.Release + "_" + hex.EncodeToString(sum[:4])
	if !validID().MatchString(r.ID) {
		return fail(driver.ErrInvalid, fmt.Errorf("its release %q can't be a name", r.Release))
	}
	err = s.publish(ctx, r, p.vmlinuz, vmlinux, chosen)
	if locked, ok := errors.AsType[*layout.LockedError](err); ok {
		return Installed{}, &driver.Error{Class: driver.ErrLocked, Op: "install kernel", Object: r.ID, Err: locked, Next: "try again when it is done"}
	}
	if err != nil {
		return Installed{}, fmt.Errorf("install kernel %s: %w", r.ID, err)
	}
	return s.find(r.ID)
}

// choose fills in the record's release and modules and gives the files to keep.
func choose(p *parts, r *record) (chosen []*module, err error) {
	have := map[string]*module{}
	for name, data := range p.modules {
		m, err := parseModule(name, data)
		if err != nil {
			return nil, err
		}
		have[name] = m
		if p.release == "" {
			p.release = m.release
		}
	}
	r.Release = p.release
	if r.Release == "" {
		return nil, errors.New("neither its modules nor its files tell its release")
	}
	if p.builtin == nil {
		return nil, errors.New("its modules.builtin is missing")
	}
	var keep []*module
	take := func(list []wanted) ([]string, error) {
		order, err := pick(list, have, p.builtin)
		if err != nil {
			return nil, err
		}
		files := []string{}
		for _, m := range order {
			if m.release != r.Release {
				return nil, fmt.Errorf("module %s is for kernel %q, not %q", m.file, m.release, r.Release)
			}
			files = append(files, m.file)
			if !slices.Contains(keep, m) {
				keep = append(keep, m)
			}
		}
		return files, nil
	}
	for vmm, list := range modulesFor {
		if r.Modules[vmm], err = take(list); err != nil {
			return nil, err
		}
	}
	if r.Quota, err = take(quotaModules); err != nil {
		return nil, err
	}
	if r.Network, err = take(networkModules); err != nil {
		return nil, err
	}
	return keep, nil
}

// lockWait is how long an installation waits for another one, which writes files.
const lockWait = 10 * time.Second

// publish writes everything into a temporary folder and gives that its name.
func (s *Store) publish(ctx context.Context, r *record, vmlinuz, vmlinux []byte, modules []*module) error {
	if err := os.MkdirAll(s.dir(), 0o700); err != nil {
		return err
	}
	unlock, err := s.state.Lock(ctx, "kernels", s.arch, lockWait)
	if err != nil {
		return err
	}
	defer unlock()
	if have, err := s.read(r.ID); err == nil {
		return s.complete(have, r, modules)
	}
	// Under the lock: whatever is unfinished has no owner any more.
	if err := s.sweep(r.ID); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(s.dir(), unfinished)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := os.Mkdir(filepath.Join(temp, modulesDir), 0o700); err != nil {
		return err
	}
	files := map[string][]byte{"vmlinuz": vmlinuz}
	if r.Image == "vmlinux" {
		files["vmlinux"] = vmlinux
	}
	for _, m := range modules {
		files[filepath.Join(modulesDir, m.file)] = m.data
	}
	for name, data := range files {
		if err := layout.WriteFile(filepath.Join(temp, name), data); err != nil {
			return err
		}
	}
	if err := layout.WriteJSON(filepath.Join(temp, recordFile), r); err != nil {
		return err
	}
	if err := os.Rename(temp, s.folder(r.ID)); err != nil {
		return err
	}
	return layout.SyncDir(s.dir())
}

// complete adds to an installed kernel the modules that it lacks, as one that an older version installed may.
func (s *Store) complete(have, r *record, modules []*module) error {
	if slices.Equal(have.Quota, r.Quota) && slices.Equal(have.Network, r.Network) {
		return nil
	}
	for _, m := range modules {
		if slices.Contains(r.Quota, m.file) || slices.Contains(r.Network, m.file) {
			if err := layout.WriteFile(filepath.Join(s.folder(have.ID), modulesDir, m.file), m.data); err != nil {
				return err
			}
		}
	}
	have.Quota, have.Network = r.Quota, r.Network
	return layout.WriteJSON(filepath.Join(s.folder(have.ID), recordFile), have)
}

const unfinished = ".import-"

// sweep removes what imports and removals left behind.
func (s *Store) sweep(id string) error {
	left, err := filepath.Glob(filepath.Join(s.dir(), unfinished+"*"))
	if err != nil {
		return err
	}
	if _, err := s.read(id); errors.Is(err, fs.ErrNotExist) {
		left = append(left, s.folder(id))
	}
	for _, dir := range left {
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}
