// Package image keeps OCI images in a content store below the state directory, and brings them in: from
// registries, from OCI layouts and archives, from docker's archives and from plain root file system tars.
//
// Everything that comes in is verified by its digest, and again when it is read for use: compressed bytes and
// diff ids. Reading (Find, Head, Get, List, Layers) writes nothing and works on a read-only state directory,
// with one exception: a blob whose bytes turn out to be wrong is removed. Writing happens under one lock.
// Paths inside an archive or layout never touch the host's file system. The store is the one of containerd's
// libraries; no containerd runs. The commands' wiring imports this package.
package image

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"

	"al.essio.dev/pkg/shellescape"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/imageref"
)

// Config says where a store is and how it reaches registries. Only State is needed.
type Config struct {
	State layout.State
	// ConfigDirs are the folders whose certs.d/HOST/hosts.toml say how to reach a registry; the first
	// that knows the host wins. nil: those of the user and of the system, see ConfigDirs.
	ConfigDirs []string
	// DockerConfig is the folder of docker's config.json; "" follows docker's own rules.
	DockerConfig string
	// Arch is the architecture of guests as Go names it; "" is this host's.
	Arch string
	// Tell gets a line for the user when a registry makes us wait; nil drops it.
	Tell func(line string)
	// Log gets what containerd's libraries log; nil drops it.
	Log *slog.Logger
}

// Store is driver.Images.
type Store struct {
	state layout.State
	arch  string
	blobs blobs
	hosts hosts
}

var _ driver.Images = (*Store)(nil)

// New gives the store. Nothing is opened or made before the first write.
func New(c Config) *Store {
	routeLog(c.Log)
	if c.Arch == "" {
		c.Arch = runtime.GOARCH
	}
	if c.ConfigDirs == nil {
		c.ConfigDirs = ConfigDirs()
	}
	return &Store{
		state: c.State,
		arch:  c.Arch,
		blobs: blobs{dir: c.State.Images()},
		hosts: hosts{dirs: c.ConfigDirs, docker: c.DockerConfig, tell: c.Tell},
	}
}

// Find answers from the store; for a file source the file says which image it is, whether the store has it or not.
func (s *Store) Find(ctx context.Context, src driver.ImageSource) (driver.Image, error) {
	const op = "find image"
	r, err := imageref.Parse(src.Ref)
	if err != nil {
		return driver.Image{}, invalid(op, src.Ref, err)
	}
	if r.Kind != imageref.Registry {
		return s.findFile(ctx, op, r, src.Files)
	}
	idx, err := s.readIndex()
	if err != nil {
		return driver.Image{}, &driver.Error{Op: op, Object: r.Name, Err: err}
	}
	digest := r.Digest
	if e, ok := idx.Images[r.Name]; ok {
		digest = e.Digest
	}
	if digest != "" {
		if img, err := s.stored(digest); err == nil {
			img.Ref = r.Name
			return img, nil
		} else if !errors.Is(err, driver.ErrNotFound) && !errors.Is(err, driver.ErrCorrupt) {
			return driver.Image{}, &driver.Error{Op: op, Object: r.Name, Err: err}
		}
	}
	return driver.Image{}, &driver.Error{
		Class: driver.ErrNotFound, Op: op, Object: r.Name,
		Err: errors.New("not in the store"), Next: "microagent image import " + shellescape.Quote(r.Name),
	}
}

// findFile reads as little of a file source as tells its digest.
func (s *Store) findFile(ctx context.Context, op string, r imageref.Reference, files driver.Files) (driver.Image, error) {
	idx, err := s.readIndex()
	if err != nil {
		return driver.Image{}, &driver.Error{Op: op, Object: r.Name, Err: err}
	}
	digest, known := idx.known(r, files)
	if known {
		if img, err := s.stored(digest); err == nil {
			img.Ref, img.From = r.Name, "file"
			return img, nil
		}
	}
	o, err := s.openFile(ctx, r, files)
	if err != nil {
		return driver.Image{}, sourceError(op, r, err)
	}
	defer o.Close()
	m, err := o.manifest(ctx)
	if err != nil {
		return driver.Image{}, sourceError(op, r, err)
	}
	if img, err := s.stored(m.digest); err == nil {
		img.Ref, img.From = r.Name, "file"
		return img, nil
	}
	config, err := o.config(ctx, m)
	if err != nil {
		return driver.Image{}, sourceError(op, r, err)
	}
	img, err := describe(m, config, s.arch)
	if err != nil {
		return driver.Image{}, sourceError(op, r, err)
	}
	img.Ref, img.From = r.Name, "file"
	return img, nil
}

// Head asks the registry which digest the reference stands for now. An index is read to find the one of the
// platform; nothing else is fetched, and nothing is kept.
func (s *Store) Head(ctx context.Context, src driver.ImageSource) (driver.Image, error) {
	const op = "look up image"
	r, err := imageref.Parse(src.Ref)
	if err != nil {
		return driver.Image{}, invalid(op, src.Ref, err)
	}
	if r.Kind != imageref.Registry {
		return s.findFile(ctx, op, r, src.Files)
	}
	o := s.hosts.open(r, s.arch)
	digest, err := o.head(ctx)
	if err != nil {
		return driver.Image{}, registryError(op, r, err)
	}
	return driver.Image{Ref: r.Name, Digest: digest, From: "registry"}, nil
}

// Get gives an image of the store. Its Ref is one of the names it has, or "".
func (s *Store) Get(_ context.Context, digest string) (driver.Image, error) {
	const op = "read image"
	if err := validDigest(digest); err != nil {
		return driver.Image{}, invalid(op, digest, err)
	}
	img, err := s.stored(digest)
	if err != nil {
		return driver.Image{}, storeError(op, digest, err)
	}
	idx, err := s.readIndex()
	if err != nil {
		return driver.Image{}, &driver.Error{Op: op, Object: digest, Err: err}
	}
	img.Ref = idx.nameOf(digest)
	return img, nil
}

// List gives the named images that the store has, by name. Those from files are named by absolute path.
func (s *Store) List(context.Context) ([]driver.Image, error) {
	idx, err := s.readIndex()
	if err != nil {
		return nil, &driver.Error{Op: "list images", Err: err}
	}
	var list []driver.Image
	for _, name := range idx.names() {
		img, err := s.stored(idx.Images[name].Digest)
		if err != nil {
			continue
		}
		img.Ref = name
		list = append(list, img)
	}
	return list, nil
}

// stored gives an image whose blobs are all in the store, as far as their sizes tell.
func (s *Store) stored(digest string) (driver.Image, error) {
	m, config, err := s.load(digest)
	if err != nil {
		return driver.Image{}, err
	}
	for _, d := range m.blobs() {
		size, err := s.blobs.size(d.Digest.String())
		if err != nil {
			return driver.Image{}, err
		}
		if size != d.Size {
			return driver.Image{}, fmt.Errorf("%w: blob %s has %d bytes instead of %d", driver.ErrCorrupt, d.Digest, size, d.Size)
		}
	}
	img, err := describe(m, config, "")
	img.From = "store"
	return img, err
}

// load reads manifest and config of an image of the store.
func (s *Store) load(digest string) (manifest, []byte, error) {
	data, err := s.blobs.read(digest)
	if err != nil {
		return manifest{}, nil, err
	}
	m, err := parseManifest(data)
	if err != nil {
		return manifest{}, nil, err
	}
	config, err := s.blobs.read(m.Config.Digest.String())
	return m, config, err
}
