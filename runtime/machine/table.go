package machine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"microagent/ch"
	"microagent/runtime/guest/proto"
	"microagent/runtime/layout"
	"microagent/runtime/template"
	"microagent/runtime/template/memory"
)

// The adapter has a template's files open from its start. cloud-hypervisor opens them by name, and what its rules let it open
// then it can write to for as long as it is there: so templates pass to and from it over a table, a folder of the run that is
// gone before the guest goes on. No template has the name of a workspace in it; what a copy's VMM may open is its own.

func (vm *VM) table() string { return filepath.Join(vm.spec.Folder, layout.TemplateDir) }

// layTable gives the folder that the VMM is to save its guest to.
func (vm *VM) layTable() (string, error) {
	if vm.spec.Choice.Kind != CloudHypervisor {
		return vm.spec.Save.Folder, nil
	}
	return vm.table(), os.Mkdir(vm.table(), 0o700)
}

func (vm *VM) clearTable() error { return os.RemoveAll(vm.table()) }

// handOut gives the folder that the VMM finds a template in, once it is whole.
func (vm *VM) handOut(t *template.Template) (string, error) {
	if vm.spec.Choice.Kind != CloudHypervisor {
		return t.Folder, t.Filled()
	}
	if err := os.Mkdir(vm.table(), 0o700); err != nil {
		return "", err
	}
	config, err := os.OpenFile(filepath.Join(vm.table(), template.ConfigFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return "", err
	}
	err = rewrite(config, t.Files[template.ConfigFile], func(text []byte) ([]byte, error) { return withRules(text, vm.spec.rulesOfCloudHypervisor()) })
	if err = errors.Join(err, config.Close()); err != nil {
		return "", err
	}
	for _, name := range []string{template.StateFile, template.MemoryFile} {
		to := filepath.Join(vm.table(), name)
		if err := layout.Link(t.Files[name], to); err != nil { // another template may have that name by now
			return "", &os.LinkError{Op: "link", Old: filepath.Join(t.Folder, name), New: to, Err: err}
		}
	}
	return vm.table(), nil
}

// takeIn takes what the VMM saved into a draft.
func (vm *VM) takeIn(d *template.Draft) error {
	if vm.spec.Choice.Kind != CloudHypervisor {
		return nil
	}
	for name, to := range d.Files {
		from, err := os.Open(filepath.Join(vm.table(), name))
		if err != nil {
			return err
		}
		switch name {
		case template.MemoryFile:
			err = memory.Save(to, from)
		case template.ConfigFile:
			err = rewrite(to, from, func(config []byte) ([]byte, error) { return withRules(config, nil) })
		case template.StateFile:
			err = rewrite(to, from, holdClock)
		}
		if err = errors.Join(err, from.Close()); err != nil {
			return err
		}
	}
	return nil
}

// maxText bounds what is read of a file that is no memory.
const maxText = 16 << 20

func rewrite(to io.Writer, from io.ReaderAt, change func([]byte) ([]byte, error)) error {
	text, err := io.ReadAll(io.NewSectionReader(from, 0, maxText))
	if err != nil {
		return err
	}
	if text, err = change(text); err != nil {
		return err
	}
	_, err = to.Write(text)
	return err
}

// withRules gives a configuration, as cloud-hypervisor saves one, with other rules of landlock; without any for nil.
func withRules(config []byte, rules []ch.LandlockConfig) ([]byte, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(config, &all); err != nil {
		return nil, fmt.Errorf("configuration of a template: %w", err)
	}
	delete(all, "landlock_rules")
	if rules != nil {
		data, err := json.Marshal(rules)
		if err != nil {
			return nil, err
		}
		all["landlock_rules"] = data
	}
	return json.Marshal(all)
}

// touch returns when the agent takes connections, and has let go of this one: none is open when the guest is saved.
func (vm *VM) touch(ctx context.Context) error {
	conn, err := ch.VsockDialer{Dial: ch.UnixAt(vm.dir, layout.VsockSocket)}.DialUntil(ctx, proto.ControlPort)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.CloseWrite(); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, conn)
	return err
}
