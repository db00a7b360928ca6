package template

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"microagent/runtime/template/memory"
)

// shape is one whose files are there, in a folder of the test's.
func shape(t *testing.T, cpus int) Shape {
	t.Helper()
	s := Shape{Format: Format, Host: "boot", Tool: "test", VMM: "qemu 7.2.22 (tcg)", CPUs: cpus, Memory: 1 << 20}
	dir := t.TempDir()
	for name, to := range map[string]*File{"kernel": &s.Kernel, "initramfs": &s.Initramfs, "program": &s.Program} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
		var err error
		if *to, err = Identify(path); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// files are those of the adapter's templates.
var files = []string{ConfigFile, StateFile, DevicesFile, MemoryFile}

// opened gives the template of a shape with its memory sealed.
func opened(s Store, of Shape, holders ...int) (*Template, error) {
	t, err := s.Open(of)
	if err == nil {
		err = errors.Join(t.Seal(holders), t.Filled())
	}
	return t, err
}

// save publishes a template of a shape.
func save(t *testing.T, s Store, of Shape) {
	t.Helper()
	d, err := s.Draft(of, files)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for name, f := range d.Files {
		if _, err := f.WriteString("of " + name); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Files[MemoryFile].Truncate(of.Memory); err != nil {
		t.Fatal(err)
	}
	if err := d.Publish(); err != nil {
		t.Fatal(err)
	}
}

func keys(t *testing.T, s Store) (list []string) {
	t.Helper()
	all, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		list = append(list, a.Key)
	}
	return list
}

func TestATemplateIsFoundByItsShapeAndSealed(t *testing.T) {
	s := Store{filepath.Join(t.TempDir(), "templates")}
	one := shape(t, 1)
	if _, err := opened(s, one); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before there is one: %v", err)
	}
	save(t, s, one)
	save(t, s, one) // another was faster
	got, err := opened(s, one)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	if !memory.Sealed(got.Files[MemoryFile]) {
		t.Error("a guest could write to the memory of others")
	}
	head := make([]byte, 3)
	if _, err := got.Files[MemoryFile].ReadAt(head, 0); err != nil || string(head) != "of " {
		t.Errorf("memory begins with %q, %v", head, err)
	}
	state, err := io.ReadAll(got.Files["state.json"])
	if err != nil || !bytes.Equal(state, []byte("of state.json")) {
		t.Errorf("state %q, %v", state, err)
	}
	for name, change := range map[string]func(*Shape){
		"tool": func(s *Shape) { s.Tool = "newer" }, "host": func(s *Shape) { s.Host = "another boot" },
		"memory": func(s *Shape) { s.Memory *= 2 }, "vmm": func(s *Shape) { s.VMM = "qemu 9" },
		"kernel": func(s *Shape) { s.Kernel.Mtime++ }, "init": func(s *Shape) { s.Initramfs.Inode++ },
		"cmdline": func(s *Shape) { s.Cmdline = "quiet" }, "program": func(s *Shape) { s.Program.Size++ },
		"CPU": func(s *Shape) { s.CPUs++ }, "processor": func(s *Shape) { s.Processor = "another" }, "clock": func(s *Shape) { s.KHz++ },
		"room for CPUs": func(s *Shape) { s.MaxCPUs++ }, "room for memory": func(s *Shape) { s.MaxMemory++ },
	} {
		other := one
		change(&other)
		if _, err := opened(s, other); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("with another %s: %v", name, err)
		}
	}
	info, err := os.Stat(got.Folder)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder %v, %v", info.Mode(), err)
	}
	all, _ := filepath.Glob(filepath.Join(got.Folder, "*"))
	for _, f := range all {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v", f, info.Mode(), err)
		}
	}
}

func TestWhyAMemoryCouldNotBeFilledIsTold(t *testing.T) {
	s, one := Store{filepath.Join(t.TempDir(), "templates")}, shape(t, 1)
	save(t, s, one)
	got, err := s.Open(one)
	if err != nil {
		t.Fatal(err)
	}
	defer got.Close()
	path := got.Files[MemoryFile].Name()
	got.Files[MemoryFile].Close()
	if got.Files[MemoryFile], err = os.OpenFile(path, os.O_WRONLY, 0); err != nil { // of which nothing can be read
		t.Fatal(err)
	}
	if err := got.Seal(nil); err != nil {
		t.Fatal(err)
	}
	if err := got.Filled(); err == nil || !strings.Contains(err.Error(), "load template-"+one.Key()) {
		t.Errorf("error %v", err)
	}
	if memory.Sealed(got.Files[MemoryFile]) {
		t.Error("a memory that is not whole is sealed: others would take it")
	}
}

func TestATemplateLeavesRoomToGuests(t *testing.T) {
	for free, want := range map[int64]bool{-1: true, 0: false, spare - 1: false, spare: true, 1 << 40: true} {
		if err := room(free); (err == nil) != want {
			t.Errorf("%d bytes free: %v", free, err)
		}
	}
}

func TestAnotherNameOfAFileMakesNoOther(t *testing.T) {
	s := shape(t, 1)
	if err := os.Link(s.Kernel.Path, s.Kernel.Path+".again"); err != nil {
		t.Fatal(err)
	}
	if now, err := Identify(s.Kernel.Path); err != nil || now != s.Kernel {
		t.Errorf("%+v became %+v, %v", s.Kernel, now, err)
	}
}

func TestDraftsOfTheDeadAreSweptAndThoseOfTheLivingNot(t *testing.T) {
	s := Store{t.TempDir()}
	dead := filepath.Join(s.Dir, draftPrefix+"dead")
	if err := os.Mkdir(dead, 0o700); err != nil {
		t.Fatal(err)
	}
	living, err := s.Draft(shape(t, 1), files)
	if err != nil {
		t.Fatal(err)
	}
	defer living.Close()
	another, err := s.Draft(shape(t, 2), files)
	if err != nil {
		t.Fatal(err)
	}
	another.Close()
	if _, err := os.Stat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what a dead process left: %v", err)
	}
	if _, err := os.Stat(living.Folder); err != nil {
		t.Error(err)
	}
	if list := keys(t, s); len(list) != 0 {
		t.Errorf("drafts are listed: %v", list)
	}
	left, _ := filepath.Glob(filepath.Join(s.Dir, "*", "*"))
	if len(left) != len(files) {
		t.Errorf("left behind: %v", left)
	}
}

func TestANewTemplateTakesThePlaceOfOld(t *testing.T) {
	s := Store{t.TempDir()}
	old, other := shape(t, 1), shape(t, 2)
	save(t, s, old)
	save(t, s, other)
	if err := os.Remove(other.Kernel.Path); err != nil { // its kernel was removed
		t.Fatal(err)
	}
	now := old
	now.Tool = "newer"
	save(t, s, now)
	if list := keys(t, s); len(list) != 1 || list[0] != now.Key() {
		t.Errorf("left: %v", list)
	}
	for i := range 2 * most {
		save(t, s, shape(t, 10+i))
	}
	if list := keys(t, s); len(list) != most {
		t.Errorf("%d templates are kept, %d may be", len(list), most)
	}
}

func TestCopiesThatRunShareTheirMemory(t *testing.T) {
	s := Store{t.TempDir()}
	one := shape(t, 1)
	save(t, s, one)
	open := func(holders ...int) (*Template, os.FileInfo) {
		t.Helper()
		got, err := opened(s, one, holders...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(got.Close)
		info, err := got.Files[MemoryFile].Stat()
		if err != nil {
			t.Fatal(err)
		}
		return got, info
	}
	first, of := open()
	shared, same := open(1<<22, os.Getpid()) // the first is of nobody
	if !os.SameFile(of, same) {
		t.Error("a second copy has memory of its own")
	}
	if _, err := shared.Files[MemoryFile].WriteAt([]byte("x"), 0); err == nil {
		t.Error("it can be written to")
	}
	if _, own := open(); os.SameFile(of, own) {
		t.Error("without a process that has it the memory is the same")
	}
	first.Close()
	head := make([]byte, 3)
	if _, err := shared.Files[MemoryFile].ReadAt(head, 0); err != nil || string(head) != "of " {
		t.Errorf("when the first has ended, it begins with %q, %v", head, err)
	}
}

func TestATemplateThatWasSavedAnewSharesNothingWithCopiesOfTheOld(t *testing.T) {
	s := Store{t.TempDir()}
	one := shape(t, 1)
	var last os.FileInfo
	for range 2 {
		save(t, s, one)
		got, err := opened(s, one, os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		defer got.Close()
		info, err := got.Files[MemoryFile].Stat()
		if err != nil {
			t.Fatal(err)
		}
		if last != nil && os.SameFile(last, info) {
			t.Error("devices of one guest are given the memory of another")
		}
		last = info
		if err := s.Remove(one.Key()); err != nil {
			t.Fatal(err)
		}
	}
}

// A path of this length has room for a draft's folder, and none for each file in it.
func TestADraftThatCanNotBeMadeIsNone(t *testing.T) {
	const most = 4077
	dir := t.TempDir()
	for most-len(dir) > 210 {
		dir = filepath.Join(dir, strings.Repeat("d", 200))
	}
	s := Store{filepath.Join(dir, strings.Repeat("d", most-len(dir)-1))}
	d, err := s.Draft(shape(t, 1), files)
	if err == nil || d != nil {
		t.Errorf("a start would go on with %+v, %v", d, err)
	}
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// A save that is killed after any of its steps leaves a template that is whole, or none and nothing for long.
func TestASaveThatIsKilled(t *testing.T) {
	one := shape(t, 1)
	count := len((&Draft{}).steps())
	for done := range count + len(files) + 1 {
		s := Store{filepath.Join(t.TempDir(), "templates")}
		d, err := s.Draft(one, files)
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range files {
			if i >= done {
				break
			}
			if err := d.Files[name].Truncate(one.Memory); err != nil {
				t.Fatal(err)
			}
		}
		for i, step := range d.steps() {
			if i+len(files) >= done {
				break
			}
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range d.Files { // which is all that the kernel does for the dead
			f.Close()
		}
		d.dir.Close()
		got, err := opened(s, one)
		switch {
		case err == nil:
			if len(got.Files) != len(files) {
				t.Errorf("after %d steps it has the files %v", done, got.Files)
			}
			got.Close()
			if done < len(files)+2 {
				t.Errorf("after %d steps there is a template", done)
			}
		case !errors.Is(err, fs.ErrNotExist) || done >= len(files)+2:
			t.Errorf("after %d steps: %v", done, err)
		}
		save(t, s, one)
		if left, err := os.ReadDir(s.Dir); err != nil || len(left) != 1 || left[0].Name() != one.Key() {
			t.Errorf("after %d steps and another save: %v, %v", done, left, err)
		}
	}
}

// A removal that is killed leaves no part of a template under its name, which the next one takes.
func TestARemovalThatIsKilled(t *testing.T) {
	s := Store{filepath.Join(t.TempDir(), "templates")}
	one := shape(t, 1)
	save(t, s, one)
	if _, err := s.hide(one.Key()); err != nil {
		t.Fatal(err)
	}
	if _, err := opened(s, one); !errors.Is(err, fs.ErrNotExist) || len(keys(t, s)) != 0 {
		t.Errorf("a part is found: %v, %v", keys(t, s), err)
	}
	save(t, s, one)
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) != 1 || left[0].Name() != one.Key() {
		t.Errorf("after another save: %v, %v", left, err)
	}
	if err := errors.Join(s.Remove(one.Key()), s.Remove(one.Key())); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) != 0 {
		t.Errorf("after a removal: %v, %v", left, err)
	}
}

func TestDraftsThatAreBegunAtOnce(t *testing.T) {
	s := Store{filepath.Join(t.TempDir(), "templates")}
	var all sync.WaitGroup
	for i := range 64 {
		of := shape(t, i)
		all.Go(func() {
			d, err := s.Draft(of, files)
			if err != nil {
				t.Error(err)
				return
			}
			d.Close()
		})
	}
	all.Wait()
}
