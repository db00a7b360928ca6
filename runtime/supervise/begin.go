package supervise

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"microagent/ch"
	"microagent/runtime/driver"
	"microagent/runtime/lease"
	"microagent/runtime/machine"
	"microagent/runtime/supervise/control"
	"microagent/runtime/template"
	"microagent/schema/printable"
)

// Why a guest boots.
const (
	bootFirst = "no template of its shape was there"
	bootFresh = "it was asked to"
)

// copyLimit is how long a copy may take to answer that needs no boot, where a boot is the way out; longer under emulation.
const (
	copyHardware = 10 * time.Second
	copyEmulated = time.Minute
)

// begin starts the VMM, with a guest that is a copy of a template where one fits, and one that boots where none does.
func (s *supervisor) begin(ctx context.Context) (*machine.VM, error) {
	disks := s.settleDisks()
	spec := machine.Spec{
		Name: s.spec.Workspace.Name, Folder: s.folder.Dir, Choice: s.spec.VMM, Adapter: s.spec.Adapter, Boot: s.spec.Boot,
		MaxCPUs: s.spec.Workspace.MaxCPUs, MaxMemory: s.spec.Workspace.MaxMemory, Disks: disks.Machine(), Leases: disks.Leases(),
	}
	spec.CPUs, spec.Memory = s.sizeOf()
	if s.spec.Fresh {
		return s.bootAs(ctx, spec, driver.Boot{Why: bootFresh})
	}
	shape, err := s.shape(spec)
	if err != nil {
		return s.bootAs(ctx, spec, driver.Boot{Why: printable.Line(err.Error()), Refused: true})
	}
	store, why := template.Of(s.state), bootFirst
	var t *template.Template
	if s.uncopied == "" {
		t, err = s.open(store, shape)
	}
	switch {
	case s.uncopied != "":
		why = s.uncopied
	case err == nil:
		spec.Copy = t
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
		why = "its template could not be used: " + printable.Line(cmp.Or(ch.Reason(err), err.Error()))
		s.forgetTemplate(store, t.Key)
	case !errors.Is(err, fs.ErrNotExist):
		s.log.Warn("open a template", "error", err)
		why = "its template could not be read: " + printable.Line(err.Error())
		s.forgetTemplate(store, shape.Key())
	}
	boot := driver.Boot{Why: why, Refused: why != bootFirst}
	spec.Patience = s.patience(false)
	if spec.Save, err = store.Draft(shape, s.spec.VMM.TemplateFiles()); err != nil {
		return s.bootAs(ctx, spec, unsaved(boot, err))
	}
	return s.bootAndSave(ctx, spec, boot)
}

// open gives a template of which the VMM can make a copy.
func (s *supervisor) open(store template.Store, shape template.Shape) (*template.Template, error) {
	t, err := store.Open(shape)
	if err != nil || !s.spec.VMM.Maps() {
		return t, err
	}
	if err := t.Seal(s.copiesOf(t.Key)); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

// unsaved is how a guest came to be that was to become a template.
func unsaved(b driver.Boot, err error) driver.Boot {
	b.Refused = true
	b.Why += "; it is not saved as one: " + printable.Line(err.Error())
	return b
}

// copiesOf are the supervisors whose guests are copies of a template.
func (s *supervisor) copiesOf(key string) (pids []int) {
	folders, _ := os.ReadDir(s.state.Workspaces()) // of none a copy takes memory of its own
	for _, f := range folders {
		run, err := control.ReadRun(s.state.Workspace(f.Name()))
		if err != nil || run == nil || !run.Phase.Alive() || run.Boot == nil || run.Boot.Template != key {
			continue
		}
		if (lease.Process{PID: run.PID, BootID: run.BootID, Start: run.Start}).Alive() {
			pids = append(pids, run.PID)
		}
	}
	return pids
}

func (s *supervisor) forgetTemplate(store template.Store, key string) {
	if err := store.Remove(key); err != nil {
		s.log.Warn("remove a template", "template", key, "error", err)
	}
}

// bootInstead is for a copy that never answered: its template goes, and the run's guest boots.
func (s *supervisor) bootInstead(err error) {
	s.log.Warn("a copy of a template did not come up", "template", s.template.Key, "error", err)
	s.uncopied = "a copy of its template did not come up: " + printable.Line(err.Error())
	s.forgetTemplate(template.Of(s.state), s.template.Key)
}

// bootAs boots the guest.
func (s *supervisor) bootAs(ctx context.Context, spec machine.Spec, how driver.Boot) (*machine.VM, error) {
	vm, err := machine.Start(ctx, spec)
	if err == nil {
		s.noteBoot(how)
	}
	return vm, err
}

// bootAndSave boots the guest, and makes it a template on the way.
func (s *supervisor) bootAndSave(ctx context.Context, spec machine.Spec, how driver.Boot) (*machine.VM, error) {
	defer spec.Save.Close()
	vm, err := machine.Start(ctx, spec)
	if err != nil {
		return nil, err
	}
	if err = vm.Saved(); err == nil {
		err = spec.Save.Publish()
	}
	if err != nil {
		s.log.Warn("save a template", "error", err)
		how = unsaved(how, err)
	}
	how.Saved = err == nil
	s.noteBoot(how)
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
func (s *supervisor) shape(spec machine.Spec) (template.Shape, error) {
	if err := spec.Choice.CanCopy(len(spec.Disks)); err != nil {
		return template.Shape{}, err
	}
	shape := template.Shape{
		Format: template.Format, Host: s.self.BootID, Tool: s.spec.Tool, Cmdline: spec.Boot.Cmdline, VMM: spec.Choice.Name,
		CPUs: spec.CPUs, Memory: spec.Memory,
	}
	for path, to := range map[string]*template.File{
		s.spec.Boot.Kernel: &shape.Kernel, s.spec.Boot.Initramfs: &shape.Initramfs, s.spec.VMM.Path: &shape.Program,
	} {
		var err error
		if *to, err = template.Identify(path); err != nil {
			return shape, err
		}
	}
	err := spec.Fit(&shape)
	return shape, err
}
