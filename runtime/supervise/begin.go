package supervise

import (
	"context"
	"errors"
	"io/fs"

	"microagent/runtime/driver"
	"microagent/runtime/machine"
	"microagent/runtime/template"
	"microagent/schema/printable"
)

// Why a guest boots.
const (
	bootFirst = "no template of its shape was there"
)

// begin starts the VMM, with a guest that is a copy of a template where one fits, and one that boots where none does.
func (s *supervisor) begin(ctx context.Context) (*machine.VM, error) {
	spec := machine.Spec{
		Name: s.spec.Workspace.Name, Folder: s.folder.Dir, Choice: s.spec.VMM, Adapter: s.spec.Adapter, Boot: s.spec.Boot,
		CPUs: s.spec.Workspace.CPUs, Memory: s.spec.Workspace.Memory, Disks: s.disks.Machine(), Leases: s.disks.Leases(),
	}
	shape, err := s.shape()
	if err != nil {
		return s.bootAs(ctx, spec, printable.Line(err.Error()))
	}
	store, why := template.Of(s.state), bootFirst
	t, err := store.Open(shape)
	switch {
	case err == nil:
		if spec.Copy = t; t != nil {
			vm, err := machine.Start(ctx, spec)
			if err == nil {
				s.template = t
				s.noteBoot(driver.Boot{Template: t.Key})
				return vm, nil
			}
			t.Close()
			spec.Copy = nil
			if ctx.Err() != nil {
				return nil, err
			}
			s.log.Warn("start a copy of a template", "template", t.Key, "error", err)
			why = "its template could not be used: " + printable.Line(err.Error())
			s.forgetTemplate(store, t.Key)
		}
	case !errors.Is(err, fs.ErrNotExist):
		s.log.Warn("open a template", "error", err)
		why = "its template could not be read: " + printable.Line(err.Error())
		s.forgetTemplate(store, shape.Key())
	}
	if spec.Save, err = store.Draft(shape); err != nil {
		return s.bootAs(ctx, spec, why+"; it is not saved as one: "+printable.Line(err.Error()))
	}
	return s.bootAndSave(ctx, spec, why)
}

func (s *supervisor) forgetTemplate(store template.Store, key string) {
	if err := store.Remove(key); err != nil {
		s.log.Warn("remove a template", "template", key, "error", err)
	}
}

// bootAs boots the guest.
func (s *supervisor) bootAs(ctx context.Context, spec machine.Spec, why string) (*machine.VM, error) {
	spec.Save = nil
	vm, err := machine.Start(ctx, spec)
	if err == nil {
		s.noteBoot(driver.Boot{Why: why})
	}
	return vm, err
}

// bootAndSave boots the guest, and makes it a template on the way.
func (s *supervisor) bootAndSave(ctx context.Context, spec machine.Spec, why string) (*machine.VM, error) {
	draft := spec.Save
	vm, err := machine.Start(ctx, spec)
	if err != nil {
		draft.Close()
		return nil, err
	}
	if err := vm.Saved(); err != nil {
		draft.Close()
		s.log.Warn("save a template", "error", err)
		s.noteBoot(driver.Boot{Why: why + "; it is not saved as one: " + printable.Line(err.Error())})
		return vm, nil
	}
	err = draft.Publish()
	draft.Close()
	if err != nil {
		s.log.Warn("save a template", "error", err)
		s.noteBoot(driver.Boot{Why: why + "; it is not saved as one: " + printable.Line(err.Error())})
		return vm, nil
	}
	s.noteBoot(driver.Boot{Why: why, Saved: true})
	return vm, nil
}

// noteBoot says how the guest came to be, with the next that is written of the run.
func (s *supervisor) noteBoot(b driver.Boot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil {
		s.run.Boot = &b
	}
}

// endTemplate gives up what the guest was a copy of.
func (s *supervisor) endTemplate() {
	if s.template != nil {
		s.template.Close()
		s.template = nil
	}
}

// shape is what the guest's template depends on.
func (s *supervisor) shape() (template.Shape, error) {
	if err := s.spec.VMM.CanCopy(); err != nil {
		return template.Shape{}, err
	}
	shape := template.Shape{
		Format: template.Format, Host: s.self.BootID, Tool: s.spec.Tool, Cmdline: s.spec.Boot.Cmdline, VMM: s.spec.VMM.Name,
		CPUs: s.spec.Workspace.CPUs, Memory: s.spec.Workspace.Memory,
	}
	for path, to := range map[string]*template.File{
		s.spec.Boot.Kernel: &shape.Kernel, s.spec.Boot.Initramfs: &shape.Initramfs, s.spec.VMM.Path: &shape.Program,
	} {
		var err error
		if *to, err = template.Identify(path); err != nil {
			return shape, err
		}
	}
	return shape, nil
}
