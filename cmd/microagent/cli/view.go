package cli

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// ManifestName is the name that is looked for when -f gives none.
const ManifestName = "microagent.yaml"

// manifestPath is the absolute path of the manifest, given or in the working directory.
func (a *app) manifestPath() (string, error) {
	name := a.flags.file
	if name == "" {
		name = ManifestName
	}
	return filepath.Abs(name)
}

// manifestInView says whether there is one.
func (a *app) manifestInView() bool {
	path, err := a.manifestPath()
	if err != nil {
		return false
	}
	_, err = os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// projectInView is the project that bare names mean first: that of -p or of the manifest in view, "" for none.
func (a *app) projectInView() string {
	return a.flags.project
}
