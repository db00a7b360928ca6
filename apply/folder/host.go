package folder

import (
	"io/fs"
	"os"
	"path/filepath"

	"microagent/runtime/driver"
)

// Host opens any path: for what the user typed on the command line. Relative names are relative to Dir, or to the
// working directory when it is empty.
type Host struct{ Dir string }

var _ driver.Files = Host{}

// Resolve is the absolute path of name.
func (h Host) Resolve(name string) string {
	if filepath.IsAbs(name) {
		return filepath.Clean(name)
	}
	abs, err := filepath.Abs(filepath.Join(h.Dir, name))
	if err != nil {
		return name
	}
	return abs
}

// Sub opens the folder name; nothing below it is judged.
func (h Host) Sub(name string) (driver.Tree, error) {
	f, err := Free(h.Resolve(name))
	if err != nil {
		return nil, err
	}
	t, err := f.Sub(".")
	if err != nil {
		f.Close()
		return nil, err
	}
	t.(*tree).owner = f
	return t, nil
}

func (h Host) Open(name string) (*os.File, error)     { return os.Open(h.Resolve(name)) }
func (h Host) Stat(name string) (fs.FileInfo, error)  { return os.Stat(h.Resolve(name)) }
func (h Host) Lstat(name string) (fs.FileInfo, error) { return os.Lstat(h.Resolve(name)) }
func (h Host) Readlink(name string) (string, error)   { return os.Readlink(h.Resolve(name)) }
