package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"microagent/apply/folder"
	"microagent/cmd/microagent/cli/term"
	"microagent/runtime/driver"
	"microagent/schema"
	"microagent/schema/diag"
)

// ManifestName is the name that is looked for when -f gives none.
const ManifestName = "microagent.yaml"

// maxManifest bounds what is read of a manifest.
const maxManifest = 16 << 20

// source is a manifest that was read and not yet understood.
type source struct {
	name string // as messages show it
	path string // absolute; "" for stdin
	data []byte
}

// readManifest reads the manifest of -f, or the one in the working directory; - is stdin.
func (a *app) readManifest() (source, error) {
	s := source{name: a.flags.file}
	if s.name == "-" {
		data, err := io.ReadAll(io.LimitReader(a.In, maxManifest+1))
		s.name, s.data = "<stdin>", data
		return s, err
	}
	if s.name == "" {
		s.name = ManifestName
	}
	path, err := filepath.Abs(s.name)
	if err != nil {
		return s, err
	}
	s.path = path
	f, err := openManifest(path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, &driver.Error{Class: driver.ErrNotFound, Op: "read manifest", Object: s.name, Err: errors.New("there is no such file"),
			Next: "name it with -f FILE, or its folder with -C DIR"}
	}
	if err != nil {
		return s, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() && !special(path) {
		return s, exits(ExitInvalid, &driver.Error{Class: driver.ErrInvalid, Op: "read manifest", Object: s.name,
			Err: errors.Join(err, errors.New("it is not a regular file"))})
	}
	if s.data, err = io.ReadAll(io.LimitReader(f, maxManifest+1)); err != nil {
		return s, fmt.Errorf("read manifest %s: %w", s.name, err)
	}
	if len(s.data) > maxManifest {
		return s, exits(ExitInvalid, &driver.Error{Class: driver.ErrInvalid, Op: "read manifest", Object: s.name,
			Err: fmt.Errorf("it is larger than %s", term.Size(maxManifest))})
	}
	return s, nil
}

// openManifest opens a manifest without waiting for anyone, and follows no link out of its folder: what is at the
// other end would be shown line by line in the errors.
func openManifest(path string) (*os.File, error) {
	if special(path) {
		return os.Open(path)
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer root.Close()
	f, err := root.OpenFile(filepath.Base(path), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if _, isErrno := errors.AsType[syscall.Errno](err); err != nil && !isErrno {
		return nil, &driver.Error{Class: driver.ErrRefused, Op: "read manifest", Object: path,
			Err: errors.New("it is a link that leads out of its folder"), Next: "name the file it leads to with -f"}
	}
	return f, err
}

// special says that path is no file of a folder but what the user's shell made of <(command).
func special(path string) bool {
	return strings.HasPrefix(path, "/dev/") || strings.HasPrefix(path, "/proc/")
}

// load reads and checks the manifest; warnings are told. --project gives its project another name.
func (a *app) load(allow []string) (*schema.Manifest, source, error) {
	s, err := a.readManifest()
	if err != nil {
		return nil, s, err
	}
	m, list := schema.Load(s.name, s.data, schema.Options{Outside: outside(s.path, allow)})
	if list.Errors() {
		return nil, s, &invalidError{list: list, code: ExitInvalid}
	}
	a.diagnostics(list)
	if a.flags.project != "" {
		m.Project = a.flags.project
	}
	return m, s, nil
}

// outside says which paths that leave the manifest's folder --allow-path allows. folder checks again what is opened.
func outside(manifest string, allow []string) func(string) bool {
	if len(allow) == 0 {
		return nil
	}
	return func(path string) bool {
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(manifest), path)
		}
		for _, dir := range allow {
			abs, err := filepath.Abs(dir)
			if err != nil {
				continue
			}
			real, err := filepath.EvalSymlinks(abs)
			if err != nil {
				real = abs
			}
			for _, dir := range []string{abs, real} {
				if rel, err := filepath.Rel(dir, path); err == nil && filepath.IsLocal(rel) {
					return true
				}
			}
		}
		return false
	}
}

// folder opens the manifest's folder.
func (s source) folder(allow []string) (*folder.Folder, error) {
	if s.path == "" {
		return nil, usagef("microagent", "a manifest from stdin has no folder; only validate reads it")
	}
	return folder.Open(filepath.Dir(s.path), allow)
}

// invalidError is a list of diagnostics that has errors.
type invalidError struct {
	list *diag.List
	code int
}

func (e *invalidError) Error() string { return e.list.Err().Error() }

// diagnostics tells a list on stderr, in the form that was asked for.
func (a *app) diagnostics(list *diag.List) {
	told := &diag.List{}
	for _, d := range list.All() {
		d.Next = a.reaching(d.Next)
		told.Add(d)
	}
	if a.Records() {
		_ = told.WriteJSON(a.Err)
		return
	}
	_ = told.WriteText(a.Err, 0)
}

// manifestInView is the path of the manifest that -f or the working directory gives, "" for none.
func (a *app) manifestInView() string {
	name := a.flags.file
	if name == "" {
		name = ManifestName
	}
	path, err := filepath.Abs(name)
	if err != nil {
		return ""
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	return path
}

// projectInView is the project that bare names mean first: that of --project or of the manifest in view, "" for none. A
// manifest that is invalid names none.
func (a *app) projectInView() string {
	if a.flags.project != "" || a.manifestInView() == "" {
		return a.flags.project
	}
	s, err := a.readManifest()
	if err != nil {
		return ""
	}
	m, _ := schema.Load(s.name, s.data, schema.Options{Outside: func(string) bool { return true }})
	if m == nil {
		return ""
	}
	return m.Project
}
