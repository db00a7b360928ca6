package driver

import (
	"context"
	"time"
)

// Project is the record of a project: where its manifest is, and what its applies put on the host.
type Project struct {
	Name     string `json:"name"`
	Manifest string `json:"manifest"` // absolute path; "" after destroy: any manifest may take the project up
	// Outputs are the digests of the trees that were brought to the host, by absolute path. A later apply
	// replaces what lies there only when it still is that tree.
	Outputs map[string]string `json:"outputs,omitempty"`
	// MovingFrom is the project whose objects are becoming this one's, "" for none.
	MovingFrom   string `json:"moving_from,omitempty"`
	RecordDigest string `json:"-"`
}

// BundleRecord is what a project's apply remembers of a bundle. Its disk lies in the cache under Key.
type BundleRecord struct {
	Name         string      `json:"name"` // on disk
	Project      string      `json:"project"`
	Source       string      `json:"source"`
	Exclude      []string    `json:"exclude,omitempty"`
	Fingerprint  Fingerprint `json:"fingerprint"`
	Key          string      `json:"key"`
	RecordDigest string      `json:"-"`
}

// Projects keeps the records that belong to no other driver, and the lock of a project.
type Projects interface {
	// Lock makes the caller the only one that changes the project. ErrLocked, naming the holder, when
	// wait ran out.
	Lock(ctx context.Context, project string, wait time.Duration) (unlock func(), err error)
	// Locked is ErrLocked, naming the holder, while another command has the lock. It writes nothing.
	Locked(ctx context.Context, project string) error
	List(ctx context.Context) ([]Project, error)
	Get(ctx context.Context, name string) (Project, error) // ErrNotFound
	Put(ctx context.Context, p Project) error
	Delete(ctx context.Context, name string) error
	// Move ends what made the objects of one project another's: what from brought to the host and its history are to's as
	// well, and to is moving no more; from is gone. Its objects are for others. Doing it again changes nothing.
	Move(ctx context.Context, from, to string) error

	Bundles(ctx context.Context) ([]BundleRecord, error)
	PutBundle(ctx context.Context, b BundleRecord) error
	DeleteBundle(ctx context.Context, name string) error
}
