package project

import (
	"context"
	"errors"
	"reflect"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

type bundleRecord struct {
	layout.Meta
	Source      string             `json:"source"`
	Exclude     []string           `json:"exclude,omitempty"`
	Fingerprint driver.Fingerprint `json:"fingerprint"`
	Key         string             `json:"key"`
}

func (r bundleRecord) bundle(digest string) driver.BundleRecord {
	return driver.BundleRecord{
		Name: r.Name, Project: r.Project, Source: r.Source, Exclude: r.Exclude,
		Fingerprint: r.Fingerprint, Key: r.Key, RecordDigest: digest,
	}
}

// Bundles gives the records of all projects' bundles, by name.
func (s *Store) Bundles(context.Context) ([]driver.BundleRecord, error) {
	names, err := recordNames(s.state.Bundles())
	if err != nil {
		return nil, &driver.Error{Op: "list bundles", Err: err}
	}
	var list []driver.BundleRecord
	for _, name := range names {
		b, err := s.readBundle(name)
		if errors.Is(err, driver.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, recordError("read bundle", name, err)
		}
		list = append(list, b)
	}
	return list, nil
}

func (s *Store) readBundle(name string) (driver.BundleRecord, error) {
	var r bundleRecord
	digest, err := readRecord(s.state.BundleRecord(name), "bundle", name, &r)
	if err != nil {
		return driver.BundleRecord{}, err
	}
	return r.bundle(digest), nil
}

// PutBundle writes a bundle's record, unless it says the same already. RecordDigest is ignored.
func (s *Store) PutBundle(_ context.Context, b driver.BundleRecord) error {
	const op = "record bundle"
	if err := validBundle(op, b.Name); err != nil {
		return err
	}
	if len(b.Exclude) == 0 {
		b.Exclude = nil
	}
	meta := layout.Meta{Format: layout.Format, Kind: "bundle", Name: b.Name, ID: layout.NewID(), Project: b.Project, Tool: s.tool}
	var old bundleRecord
	if digest, err := readRecord(s.state.BundleRecord(b.Name), "bundle", b.Name, &old); err == nil {
		b.RecordDigest = digest
		if reflect.DeepEqual(old.bundle(digest), b) {
			return nil
		}
		meta.ID = old.ID
	} else if errors.Is(err, driver.ErrUnsupported) {
		return recordError(op, b.Name, err)
	}
	return s.write(op, b.Name, s.state.Bundles(), s.state.BundleRecord(b.Name), &bundleRecord{
		Meta: meta, Source: b.Source, Exclude: b.Exclude, Fingerprint: b.Fingerprint, Key: b.Key,
	})
}

// DeleteBundle removes a bundle's record. Its disk stays in the cache until that is pruned.
func (s *Store) DeleteBundle(_ context.Context, name string) error {
	const op = "delete record of bundle"
	if err := validBundle(op, name); err != nil {
		return err
	}
	return remove(op, name, s.state.Bundles(), s.state.BundleRecord(name))
}
