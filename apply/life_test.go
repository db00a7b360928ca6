package apply

import (
	"context"
	"errors"
	"io"
	"sync"

	"microagent/runtime/driver"
)

// errKilled is what every driver says once the process that calls it is dead.
var errKilled = errors.New("killed")

// life is that of the process that applies: it ends before its next effect on the world once it has had so many.
type life struct {
	mu      sync.Mutex
	effects int // left; less than none: it lives on
	dead    bool
}

func (l *life) spend() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.effects == 0 {
		l.dead = true
	}
	if l.dead {
		return errKilled
	}
	l.effects--
	return nil
}

// mortalImages and those after it are drivers that work while the process lives.
type mortalImages struct {
	driver.Images
	*life
}

func (m mortalImages) Pull(ctx context.Context, src driver.ImageSource, want string, p driver.Progress) (driver.Image, error) {
	if err := m.spend(); err != nil {
		return driver.Image{}, err
	}
	return m.Images.Pull(ctx, src, want, p)
}

type mortalDisks struct {
	driver.Disks
	*life
}

func (m mortalDisks) Bundle(ctx context.Context, src driver.BundleSource, want string, p driver.Progress) (driver.DiskImage, driver.BundleDigest, error) {
	if err := m.spend(); err != nil {
		return driver.DiskImage{}, driver.BundleDigest{}, err
	}
	return m.Disks.Bundle(ctx, src, want, p)
}

type mortalOutputs struct {
	driver.Outputs
	*life
}

func (m mortalOutputs) Publish(ctx context.Context, tree io.Reader, t driver.Target, how driver.Publishing) (driver.Fetched, error) {
	if err := m.spend(); err != nil {
		return driver.Fetched{}, err
	}
	return m.Outputs.Publish(ctx, tree, t, how)
}

type mortalProjects struct {
	driver.Projects
	*life
}

func (m mortalProjects) Put(ctx context.Context, p driver.Project) error {
	if err := m.spend(); err != nil {
		return err
	}
	return m.Projects.Put(ctx, p)
}

func (m mortalProjects) PutBundle(ctx context.Context, b driver.BundleRecord) error {
	if err := m.spend(); err != nil {
		return err
	}
	return m.Projects.PutBundle(ctx, b)
}

func (m mortalProjects) DeleteBundle(ctx context.Context, name string) error {
	if err := m.spend(); err != nil {
		return err
	}
	return m.Projects.DeleteBundle(ctx, name)
}

func (m mortalProjects) Move(ctx context.Context, from, to string) error {
	if err := m.spend(); err != nil {
		return err
	}
	return m.Projects.Move(ctx, from, to)
}

// live makes b's drivers end with l; nil never does.
func (b *bench) live(l *life) driver.Set {
	b.workspaces.Fail, b.volumes.Fail = nil, nil
	d := b.drivers
	if l == nil {
		return d
	}
	fail := func(string, string) error { return l.spend() }
	b.workspaces.Fail, b.volumes.Fail = fail, fail
	d.Images, d.Disks, d.Outputs, d.Projects = mortalImages{d.Images, l}, mortalDisks{d.Disks, l}, mortalOutputs{d.Outputs, l}, mortalProjects{d.Projects, l}
	return d
}
