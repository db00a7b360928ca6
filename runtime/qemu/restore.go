package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"microagent/ch/api"
	"microagent/runtime/template/memory"
)

// source is a snapshot that a VM is to become a copy of.
type source struct {
	config  api.VmConfig
	facts   facts
	devices *os.File
	memory  *os.File // sealed; nil where devices has it
}

// openSource opens the snapshot in a folder. Its memory, unless it is sealed already, is copied: nobody who has a part of this
// VM can write to what others are copies of.
func (h *host) openSource(dir string) (s *source, err error) {
	s = &source{}
	if err := h.opened.read(filepath.Join(dir, fileConfig), &s.config); err != nil {
		return nil, err
	}
	if err := h.opened.read(filepath.Join(dir, fileState), &s.facts); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if s.devices, err = h.opened.open(filepath.Join(dir, fileDevices), os.O_RDONLY); err != nil || !s.facts.Memory {
		return s, err
	}
	file, err := h.opened.open(filepath.Join(dir, fileMemory), os.O_RDONLY)
	if err != nil {
		return s, err
	}
	if info, err := file.Stat(); err != nil || info.Size() != int64(s.config.Memory.Size) {
		return s, errors.Join(errors.New("the memory that was saved is not as long as the guest's"), err, file.Close())
	}
	if memory.Sealed(file) {
		s.memory = file
		return s, nil
	}
	s.memory, err = memory.Load("guest", file)
	return s, errors.Join(err, file.Close())
}

func (s *source) close() error {
	var err error
	for _, f := range []*os.File{s.devices, s.memory} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	s.devices, s.memory = nil, nil
	return err
}

// tolerance is how far two measures of one time stamp counter may lie apart, a part of this: a thousand times what they do.
const tolerance = 1000

// fits says why no copy can be made here; nil when one can.
func (s *source) fits(h *host) error {
	if s.facts.Version != factsVersion {
		return fmt.Errorf("it was saved in format %d, this adapter knows %d", s.facts.Version, factsVersion)
	}
	own, err := h.facts(s.config)
	if err != nil {
		return err
	}
	apart := max(own.KHz, s.facts.KHz) - min(own.KHz, s.facts.KHz)
	switch {
	case own.Program != s.facts.Program:
		return errors.New("it was saved by another QEMU or with another firmware")
	case own.Machine != s.facts.Machine:
		return errors.New("it was saved with other devices")
	case own.Host != s.facts.Host:
		return errors.New("it was saved on a host with another CPU")
	case apart > own.KHz/tolerance:
		return fmt.Errorf("it was saved where the CPU's clock had %d kHz; here it has %d", s.facts.KHz, own.KHz)
	case len(s.facts.Disks) != len(s.config.Disks):
		return errors.New("it does not say where its disks were")
	}
	return nil
}

// settle gives the disks the places and names that they had.
func (s *source) settle(m *instance) {
	for i, d := range m.disks {
		p := s.facts.Disks[i]
		d.qid, d.set, d.port, d.function, d.shares, d.place, d.bdf = p.QID, p.Set, p.Port, p.Function, p.Shares, p.Place, p.BDF
		m.nextQID = max(m.nextQID, p.Set+1)
		if p.Port >= 0 && p.Port < sparePorts && p.Function == 0 {
			m.slots[p.Port] = d
		}
	}
}

// restore makes a copy of a snapshot. It is paused, unless it is to go on at once.
func (v *vmm) restore(r api.RestoreConfig) error {
	if v.config != nil {
		return because(textAlreadyCreated)
	}
	v.monitor.emit("vm", "restoring", nil)
	const title = "Cannot restore VM"
	dir, err := folderOf(r.SourceUrl)
	if err != nil {
		return wrap(err, title)
	}
	s, err := v.host.openSource(dir)
	if err != nil {
		return wrap(err, title)
	}
	defer s.close() // QEMU has what it needs of it
	if err := s.fits(v.host); err != nil {
		return wrap(err, title)
	}
	if err := v.create(s.config, nil); err != nil {
		return errors.Join(err, v.delete())
	}
	if err = v.bring(s); err == nil {
		err = v.instance.load(s)
	}
	if err == nil {
		v.instance.state = api.VmStatePaused
		if deref(r.Resume) {
			err = v.resume()
		}
	}
	if err != nil {
		return errors.Join(wrap(err, title), v.delete())
	}
	v.monitor.emit("vm", "restored", nil)
	return nil
}

// load has a QEMU that waits for it take in the state. One that can't ends, and what it wrote last says why.
func (m *instance) load(s *source) error {
	ctx, cancel := context.WithTimeout(context.Background(), migrationTimeout)
	defer cancel()
	err := m.takeIn(ctx, s)
	if err == nil {
		return nil
	}
	if _, refused := errors.AsType[*qmpError](err); !refused {
		select {
		case <-m.process.exited:
			return because("QEMU refused the state", m.process.reason())
		case <-time.After(time.Second):
		}
	}
	return err
}

func (m *instance) takeIn(ctx context.Context, s *source) error {
	if _, err := s.devices.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := m.prepareMigration(ctx, s.memory != nil, s.devices); err != nil {
		return err
	}
	if _, err := m.qmp.run(ctx, "migrate-incoming", map[string]any{"uri": "fd:" + migrationFD}); err != nil {
		return err
	}
	return m.followMigration(ctx, "query-status", func(is migration) (bool, error) {
		if is.Status != "paused" && is.Status != "inmigrate" {
			return false, fmt.Errorf("QEMU could not take in the state: it is %s", is.Status)
		}
		return is.Status == "paused", nil
	})
}
