package schema

import (
	"fmt"
	"path"

	"microagent/schema/diag"
)

// Options change how a manifest is read.
type Options struct {
	// Outside says that a host path of the manifest which is absolute or leads out of its folder is allowed
	// (--allow-path). It gets the path as it is written, cleaned. Nil allows none. It is a first look only:
	// whoever opens the path has to hold to the same folders.
	Outside func(path string) bool
}

// Load reads a manifest. The file name is for messages and for telling an output that would overwrite the manifest;
// nothing is opened. The manifest is nil when the list has errors; warnings don't matter to it. The list is never
// nil.
func Load(file string, data []byte, o Options) (*Manifest, *diag.List) {
	l := load(file, data, o)
	return l.manifest, l.list
}

// loaded is a manifest with what it was read from. The manifest is nil when the list has errors.
type loaded struct {
	root     *node
	format   *format
	manifest *Manifest
	list     *diag.List
}

func load(file string, data []byte, o Options) loaded {
	list := &diag.List{}
	r := &report{file: file, source: diag.NewSource(data), list: list}
	root := r.tree(data)
	if root == nil {
		return loaded{list: list}
	}
	r.keepPrivate(root)
	ctx, definition, err := definition()
	if err == nil {
		var f *format
		if f, err = readFormat(definition); err == nil {
			c := &conformer{r, &constraints{ctx}}
			c.checkManifest(root, f)
			m := decoder{r}.manifest(root, f)
			checks := &checker{report: r, root: root, m: m, own: path.Base(file), outside: o.Outside}
			checks.checkAll()
			if list.Errors() {
				m = nil
			}
			return loaded{root, f, m, list}
		}
	}
	r.error(place{1, 1}, "internal", fmt.Sprintf("the description of the format can't be read: %v", err),
		"report this: it is a fault of microagent")
	return loaded{list: list}
}
