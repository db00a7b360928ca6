package cli

import (
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/project"
)

// world is every driver, on one state directory.
type world struct {
	Images     driver.Images
	Disks      driver.Disks
	Volumes    driver.Volumes
	Workspaces driver.Workspaces
	Projects   driver.Projects
	Outputs    driver.Outputs
	Hosts      driver.Hosts
	state      layout.State
}

// open wires the drivers together. This file is the only one that knows which they are. Nothing is read or written
// by it but the state directory's format; with writes set the directory is made.
func (a *app) open(writes bool) (*world, error) {
	get := a.readable
	if writes {
		get = a.writable
	}
	state, err := get()
	if err != nil {
		return nil, err
	}
	w := &world{state: state}
	w.Projects = project.New(state, Version)
	return w, notBuilt("open the state directory")
}
