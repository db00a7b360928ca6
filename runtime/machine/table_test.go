package machine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microagent/ch"
	"microagent/runtime/layout"
	"microagent/runtime/template"
)

// atTable is a VM of cloud-hypervisor whose process there is not.
func atTable(t *testing.T) *VM {
	t.Helper()
	vm := &VM{spec: Spec{Name: "one", Folder: t.TempDir(), Choice: Choice{Kind: CloudHypervisor}}}
	if err := os.MkdirAll(filepath.Join(vm.spec.Folder, layout.PluggedDir), 0o700); err != nil {
		t.Fatal(err)
	}
	return vm
}

// savedOverTable is a template that passed over a table, of a VMM whose configuration named its workspace.
func savedOverTable(t *testing.T, store template.Store) *template.Template {
	t.Helper()
	shape := template.Shape{VMM: "cloud-hypervisor v53.0.0"}
	vm := atTable(t)
	d, err := store.Draft(shape, vm.spec.Choice.TemplateFiles())
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	vm.spec.Save = d
	folder, err := vm.layTable()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		template.ConfigFile: `{"unknown":{"kept":[1]},"landlock_enable":true,"landlock_rules":[{"path":"/canary","access":"rw"}],"disks":null}`,
		template.StateFile:  savedState(6), template.MemoryFile: "memory",
	} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(vm.takeIn(d), vm.clearTable(), d.Publish()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(folder); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what the VMM can write to is still there: %v", err)
	}
	got, err := store.Open(shape)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(got.Close)
	return got
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestATemplatePassesOverATable(t *testing.T) {
	store := template.Store{Dir: filepath.Join(t.TempDir(), "templates")}
	saved := savedOverTable(t, store)
	if config := read(t, saved.Folder, template.ConfigFile); strings.Contains(config, "canary") || !strings.Contains(config, `"unknown":{"kept":[1]}`) {
		t.Errorf("configuration %s", config)
	}
	if got := read(t, saved.Folder, template.StateFile) + read(t, saved.Folder, template.MemoryFile); got != savedState(2)+"memory" {
		t.Errorf("saved %q", got)
	}
	vm := atTable(t)
	folder, err := vm.handOut(saved)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, folder, template.StateFile) + read(t, folder, template.MemoryFile); got != savedState(2)+"memory" {
		t.Errorf("handed out %q", got)
	}
	if err := vm.clearTable(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(filepath.Dir(folder)); err != nil || len(left) != 0 {
		t.Errorf("what a copy's VMM can write to: %v, %v", left, err)
	}
	if got := read(t, saved.Folder, template.MemoryFile); got != "memory" {
		t.Errorf("the template has %q", got)
	}
	// One that went meanwhile, and another that has its name, is not mixed with what is open.
	if err := os.Remove(filepath.Join(saved.Folder, template.MemoryFile)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(saved.Folder, template.MemoryFile), []byte("another"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := vm.handOut(saved); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("of a template that is gone: %v", err)
	}
}

func TestNoVMMIsToldOfAMemoryThatIsNotWhole(t *testing.T) {
	saved := savedOverTable(t, template.Store{Dir: filepath.Join(t.TempDir(), "templates")})
	path := saved.Files[template.MemoryFile].Name()
	saved.Files[template.MemoryFile].Close()
	var err error
	if saved.Files[template.MemoryFile], err = os.OpenFile(path, os.O_WRONLY, 0); err != nil { // of which nothing can be read
		t.Fatal(err)
	}
	if err := saved.Seal(nil); err != nil {
		t.Fatal(err)
	}
	vm := &VM{spec: Spec{Choice: Choice{Kind: QEMU}}}
	if _, err := vm.handOut(saved); err == nil || !strings.Contains(err.Error(), "load template-") {
		t.Errorf("error %v", err)
	}
}

func TestACopyHasRulesOfItsOwn(t *testing.T) {
	config := `{"landlock_rules":[{"path":"/theirs","access":"rw"}],"cpus":{"boot_vcpus":1}}`
	own, err := withRules([]byte(config), []ch.LandlockConfig{{Path: "/ours", Access: "r"}})
	if err != nil || string(own) != `{"cpus":{"boot_vcpus":1},"landlock_rules":[{"access":"r","path":"/ours"}]}` {
		t.Errorf("%s, %v", own, err)
	}
	if _, err := withRules([]byte(`{"cut`), nil); err == nil {
		t.Error("a configuration that is cut short is one")
	}
}

func TestHowManyDisksACopyTakes(t *testing.T) {
	for kind, most := range map[string]int{QEMU: 32, CloudHypervisor: 20} {
		c := Choice{Kind: kind}
		if err := c.CanCopy(most); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
		if err := c.CanCopy(most + 1); err == nil || !strings.Contains(err.Error(), "disks") {
			t.Errorf("%s with one disk more: %v", kind, err)
		}
	}
}
