package view

import (
	"time"

	"microagent/runtime/driver"
)

// Kept is a root file system that was replaced, or whose workspace was deleted, and that restore brings back.
type Kept struct {
	Workspace string    `json:"workspace"`
	Project   string    `json:"project,omitempty"`
	Image     string    `json:"image,omitempty"` // "" when it is not known
	Bytes     int64     `json:"bytes"`           // on disk
	Since     time.Time `json:"since"`
	Deleted   bool      `json:"deleted"`
}

// OfKept shows one.
func OfKept(k driver.Kept) Kept {
	return Kept{k.Workspace, k.Project, k.Image, k.Bytes, k.Since, k.Deleted}
}

// OfKepts shows several, never null.
func OfKepts(list []driver.Kept) []Kept {
	all := []Kept{}
	for _, k := range list {
		all = append(all, OfKept(k))
	}
	return all
}
