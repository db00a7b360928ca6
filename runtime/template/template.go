// Package template keeps guests that were stopped before they knew who they are: booted, and waiting to be configured. A start
// whose machine has the shape of one becomes a copy of it and needs no boot.
//
// Promised: a template holds no disk, no secret and no name of a workspace. It is found by the digest of all that it depends on,
// appears whole under its name or not at all, and is written by nobody afterwards: who starts a copy gets its memory as one that
// is sealed (package memory), or one of its own, and never the file. What was taken away is of no consequence to the copies that there are.
// A supervisor saves and copies them; the commands list and prune them.
package template

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"microagent/runtime/layout"
	"microagent/runtime/template/memory"
)

// File is what tells a file from another that has its name later. The time of its inode's last change does not: that moves when
// another name of it comes or goes.
type File struct {
	Path  string `json:"path"`
	Size  int64  `json:"size"`
	Inode uint64 `json:"inode"`
	Mtime int64  `json:"mtime"` // nanoseconds
}

// Identify looks at a file.
func Identify(path string) (File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return File{}, err
	}
	st := info.Sys().(*syscall.Stat_t)
	return File{Path: path, Size: st.Size, Inode: st.Ino, Mtime: st.Mtim.Nano()}, nil
}

// Shape is all that a template depends on which is known before a VMM runs; what the VMM knows besides, of its host's CPU and
// of its own devices, it looks at itself, and refuses.
type Shape struct {
	Format    int    `json:"format"`
	Host      string `json:"host"` // id of the host's boot, see Draft.Publish
	Tool      string `json:"tool"` // version of the microagent
	Kernel    File   `json:"kernel"`
	Initramfs File   `json:"initramfs"` // with our init
	Cmdline   string `json:"cmdline"`
	VMM       string `json:"vmm"` // "qemu 7.2.22 (tcg)"
	Program   File   `json:"program"`
	CPUs      int    `json:"cpus"`
	Memory    int64  `json:"memory"` // bytes

	// Of a VMM that doesn't look at them itself: its host's CPU (package processor), and what its guests are told of the
	// time stamp counter, in kHz.
	Processor string `json:"processor,omitempty"`
	KHz       int    `json:"khz,omitempty"`
	// Of a VM that may get more while it runs.
	MaxCPUs   int   `json:"max_cpus,omitempty"`
	MaxMemory int64 `json:"max_memory,omitempty"` // bytes
}

// Format is the version of what a template's folder holds.
const Format = 1

// Key names the template of a shape.
func (s Shape) Key() string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:16])
}

// The files of a template: its record, and those that a VMM writes and reads. The names are Cloud Hypervisor's, with that of
// the adapter's QEMU added.
const (
	recordFile  = "template.json"
	ConfigFile  = "config.json"
	StateFile   = "state.json"
	DevicesFile = "devices"
	MemoryFile  = "memory-ranges"
)

// record is a template.json.
type record struct {
	Shape   Shape     `json:"shape"`
	Created time.Time `json:"created"`
	Files   []string  `json:"files"`
	Memory  string    `json:"memory,omitempty"` // names that which copies share; "" for one that was saved without a name
}

// memoryName names the memory of a template: one that is saved later has another, although its key is the same.
func (r record) memoryName() string { return "template-" + r.Shape.Key() + "-" + r.Memory }

// Store is the templates of a state directory. It need not be there.
type Store struct{ Dir string }

// Of gives the store of a state directory.
func Of(s layout.State) Store { return Store{s.Templates()} }

// Template is one that copies can be made of, with its files open.
type Template struct {
	Key    string
	Folder string
	Files  map[string]*os.File // by name, to be read

	record record
	filled chan struct{} // closed when the memory is sealed, or never will be; nil for none that is on its way
	fault  error         // why it never will be; meaningful after filled
}

// Open gives the template of a shape. The error is fs.ErrNotExist when there is none.
func (s Store) Open(shape Shape) (t *Template, err error) {
	t = &Template{Key: shape.Key(), Files: map[string]*os.File{}}
	t.Folder = filepath.Join(s.Dir, t.Key)
	if err := layout.ReadJSON(filepath.Join(t.Folder, recordFile), &t.record); err != nil {
		return nil, err
	}
	if t.record.Shape != shape {
		return nil, fmt.Errorf("template %s: its record is of another", t.Key)
	}
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	for _, name := range t.record.Files {
		if filepath.Base(name) != name {
			return nil, fmt.Errorf("template %s: it names a file %q", t.Key, name)
		}
		f, err := layout.Open(filepath.Join(t.Folder, name))
		if err != nil {
			return nil, err
		}
		t.Files[name] = f
	}
	if t.Files[MemoryFile] == nil {
		return nil, fmt.Errorf("template %s: it has no memory", t.Key)
	}
	return t, nil
}

// Seal puts in the place of the memory's file one that nobody can write to, for a VMM that maps it: that which one of holders
// has, processes of copies that run, so that their pages are the same, and a new one where none has. A new one is filled while
// the VMM's process starts: no guest may have it before Filled.
func (t *Template) Seal(holders []int) error {
	file, name := t.Files[MemoryFile], t.record.memoryName()
	for _, pid := range holders {
		if held := memory.Held(pid, name, t.record.Shape.Memory); held != nil {
			t.Files[MemoryFile] = held
			return file.Close()
		}
	}
	sealed, fill, err := memory.Loading(name, file)
	if err != nil {
		return err
	}
	t.Files[MemoryFile], t.filled = sealed, make(chan struct{})
	go func() {
		defer close(t.filled)
		t.fault = errors.Join(fill(), file.Close())
	}()
	return nil
}

// Filled returns when the memory is whole and sealed, or with why it is not.
func (t *Template) Filled() error {
	if t.filled == nil {
		return nil
	}
	<-t.filled
	return t.fault
}

// Close closes the files.
func (t *Template) Close() {
	_ = t.Filled() // of a copy that is not made any more
	for _, f := range t.Files {
		f.Close()
	}
}

// Remove takes away the template of a key.
func (s Store) Remove(key string) error {
	path, err := s.hide(key)
	if err != nil || path == "" {
		return err
	}
	return os.RemoveAll(path) // or the next draft does
}

// hide takes the name of a template from it, and gives that of a draft which nobody works on; "" where there is none. What is
// left of one that is being removed would be found as a template, and its name be taken for the next.
func (s Store) hide(key string) (string, error) {
	if key == "" || filepath.Base(key) != key {
		return "", fmt.Errorf("remove template %q: %w", key, fs.ErrInvalid)
	}
	path := filepath.Join(s.Dir, draftPrefix+rand.Text())
	err := os.Rename(filepath.Join(s.Dir, key), path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	return path, err
}
