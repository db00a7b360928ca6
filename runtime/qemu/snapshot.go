package qemu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"microagent/ch/api"
	"microagent/runtime/template/memory"
	"microagent/runtime/template/processor"
)

// The files of a snapshot, in a folder that is there before. The first, third and fourth have the names that Cloud Hypervisor
// gives them.
const (
	fileConfig  = "config.json"   // the VM's configuration, as vm.create takes it
	fileDevices = "devices"       // QEMU's own: the state of its devices, and the memory where it lies in no file
	fileState   = "state.json"    // facts
	fileMemory  = "memory-ranges" // the guest's memory, sparse; missing where devices has it
)

// facts are what a copy has to have in common with the VM that was saved, and what it has to be told.
type facts struct {
	Version int      `json:"version"`
	Machine string   `json:"machine"` // digest of QEMU's arguments, without what each start has of its own
	Program string   `json:"program"` // fingerprint of QEMU and its firmware
	Host    string   `json:"host"`    // digest of what the host's CPU is
	KHz     uint64   `json:"khz"`     // of the time stamp counter; 0 where nobody was told
	Memory  bool     `json:"memory"`  // lies in a file of its own
	Hello   []byte   `json:"hello"`   // that the guest waits to be answered; null for a guest that had a session
	Disks   []placed `json:"disks"`   // in the configuration's order
}

// placed is where a disk was, and what QEMU called it.
type placed struct {
	QID      string `json:"qid"`
	Set      int    `json:"set"`
	Port     int    `json:"port"`
	Function int    `json:"function"`
	Shares   bool   `json:"shares"`
	Place    string `json:"place"`
	BDF      string `json:"bdf"`
}

const factsVersion = 1

// folderOf gives the folder of a URL.
func folderOf(url string) (string, error) {
	dir, ok := strings.CutPrefix(url, "file://")
	if !ok || !filepath.IsAbs(dir) {
		return "", fmt.Errorf("%q is not the URL of a folder: file:///DIR is", url)
	}
	return filepath.Clean(dir), nil
}

// snapshot writes a paused VM to the folder of url. Its files may have been opened by who started the adapter, empty; those are
// closed behind it, so that nothing here can write to them later.
func (v *vmm) snapshot(url string) error {
	m := v.instance
	switch {
	case m == nil:
		return because(textNotRunning)
	case m.state == api.VmStateRunning:
		return because("Cannot snapshot VM", "Failed to snapshot migratable component", "Trying to snapshot while VM is running")
	case m.qmp == nil || len(m.waiting) > 0:
		return unsupported("vm.snapshot: in this state")
	}
	v.monitor.emit("vm", "snapshotting", nil)
	if err := v.save(m, url); err != nil {
		return wrap(err, "Cannot snapshot VM")
	}
	v.monitor.emit("vm", "snapshotted", nil)
	return nil
}

func (v *vmm) save(m *instance, url string) error {
	dir, err := folderOf(url)
	if err != nil {
		return err
	}
	f, err := v.host.facts(*v.config)
	if err != nil {
		return err
	}
	f.Memory, f.Hello = m.memory != nil, m.link.unanswered()
	for _, d := range m.disks {
		f.Disks = append(f.Disks, placed{d.qid, d.set, d.port, d.function, d.shares, d.place, d.bdf})
	}
	write := func(name string, fill func(*os.File) error) error {
		file, err := v.host.opened.create(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		return errors.Join(fill(file), file.Close())
	}
	if err := write(fileDevices, m.saveDevices); err != nil {
		return err
	}
	if m.memory != nil {
		if err := write(fileMemory, func(to *os.File) error { return memory.Save(to, m.memory) }); err != nil {
			return err
		}
	}
	asJSON := func(value any) func(*os.File) error {
		return func(to *os.File) error { return json.NewEncoder(to).Encode(value) }
	}
	if err := write(fileConfig, asJSON(v.config)); err != nil {
		return err
	}
	return write(fileState, asJSON(f))
}

// facts are those of a VM with this configuration, on this host, before it is there.
func (h *host) facts(c api.VmConfig) (facts, error) {
	l := h.launch(c)
	// What every start has of its own: descriptors, and a measured number.
	l.cmdline, l.sandbox = deref(c.Payload.Cmdline), false
	f := facts{Version: factsVersion, KHz: h.khz()}
	sum := sha256.Sum256([]byte(strings.Join(l.arguments(), "\x00")))
	f.Machine = hex.EncodeToString(sum[:])
	var err error
	if f.Program, err = fingerprint(h.binary, h.firmware); err != nil {
		return f, err
	}
	f.Host, err = processor.Digest()
	return f, err
}

// fingerprint tells files from others that have their names later.
func fingerprint(paths ...string) (string, error) {
	h := sha256.New()
	for _, path := range paths {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(h, path, info.Size(), info.ModTime().UnixNano())
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// migrationPause is how long between two looks at a migration, which tells its end only to who listens for events.
const migrationPause = time.Millisecond

// maxBandwidth is more than any disk or memory takes, in bytes a second: by default QEMU would go slow.
const maxBandwidth = 1 << 40

// saveDevices writes QEMU's state, and the memory where that is QEMU's own. A VM that was saved can go on.
func (m *instance) saveDevices(to *os.File) error {
	ctx, cancel := context.WithTimeout(context.Background(), migrationTimeout)
	defer cancel()
	if err := m.prepareMigration(ctx, m.memory != nil, to); err != nil {
		return err
	}
	if _, err := m.qmp.run(ctx, "migrate", map[string]any{"uri": "fd:" + migrationFD}); err != nil {
		return err
	}
	return m.followMigration(ctx, "query-migrate", func(is migration) (bool, error) {
		if is.Status == "failed" || is.Status == "cancelled" {
			return false, fmt.Errorf("QEMU could not write its state: %s", is.Error)
		}
		return is.Status == "completed", nil
	})
}

// migration is what a query says of one.
type migration struct {
	Status string `json:"status"`
	Error  string `json:"error-desc"`
}

// followMigration asks by a query until over says that the migration is.
func (m *instance) followMigration(ctx context.Context, query string, over func(migration) (bool, error)) error {
	for {
		answer, err := m.qmp.run(ctx, query, nil)
		if err != nil {
			return err
		}
		var is migration
		if err := json.Unmarshal(answer, &is); err != nil {
			return err
		}
		if done, err := over(is); done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(migrationPause):
		}
	}
}

// migrationTimeout bounds what QEMU takes to write or read a state, which is as large as the guest's memory at most.
const migrationTimeout = 4 * time.Minute

// migrationFD names the file that a migration goes to or comes from.
const migrationFD = "state"

func (m *instance) prepareMigration(ctx context.Context, ignoreShared bool, file *os.File) error {
	if _, err := m.qmp.run(ctx, "migrate-set-parameters", map[string]any{"max-bandwidth": int64(maxBandwidth)}); err != nil {
		return err
	}
	if _, err := m.qmp.run(ctx, "migrate-set-capabilities", map[string]any{
		"capabilities": []map[string]any{{"capability": "x-ignore-shared", "state": ignoreShared}},
	}); err != nil {
		return err
	}
	_, err := m.qmp.run(ctx, "getfd", map[string]any{"fdname": migrationFD}, file)
	return err
}

// create opens a file to write that is not there yet, or was opened by who started this process, which gives it up by that.
func (o opened) create(path string) (*os.File, error) {
	have, ok := o[path]
	if !ok {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	delete(o, path)
	return have, nil
}

// limit bounds what is read of a small file.
const limit = 4 << 20

// read reads a small file.
func (o opened) read(path string, value any) error {
	file, err := o.open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer file.Close()
	return json.NewDecoder(io.NewSectionReader(file, 0, limit)).Decode(value)
}
