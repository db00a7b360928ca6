package driver

import "context"

// Cloned is a volume that was made as a copy.
type Cloned struct {
	Volume Volume
	// OwnIdentity says that its file system got a UUID of its own. Where the checksums of one are made of the UUID it has, it
	// keeps that.
	OwnIdentity bool
}

// VolumeData copies what is on volumes. A copy appears under its name whole or not at all and takes nobody's place; what is
// copied is at one moment, with its journal replayed. ErrNotFound without the volume, ErrBusy while somebody writes to it.
type VolumeData interface {
	// Clone makes volume to, of no project, a copy of from. ErrExists where the name is taken.
	Clone(ctx context.Context, from, to string) (Cloned, error)
}
