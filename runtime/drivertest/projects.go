package drivertest

import (
	"context"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"microagent/runtime/driver"
)

// Projects checks an implementation of driver.Projects. open gives an empty one.
func Projects(t *testing.T, open func(t *testing.T) driver.Projects) {
	t.Run("empty", func(t *testing.T) {
		p := open(t)
		if list, err := p.List(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("List: %v, %v", list, err)
		}
		if list, err := p.Bundles(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("Bundles: %v, %v", list, err)
		}
		_, err := p.Get(t.Context(), "counter")
		wantClass(t, err, driver.ErrNotFound)
	})
	t.Run("project", func(t *testing.T) {
		p := open(t)
		for _, name := range []string{"zeta", "alpha"} {
			must(t, p.Put(t.Context(), driver.Project{Name: name, Manifest: "/src/" + name + "/microagent.yaml"}))
		}
		got, err := p.Get(t.Context(), "zeta")
		must(t, err)
		if got.Name != "zeta" || got.Manifest != "/src/zeta/microagent.yaml" || !strings.HasPrefix(got.RecordDigest, "sha256:") {
			t.Errorf("Get: %+v", got)
		}
		must(t, p.Put(t.Context(), got))
		if again, err := p.Get(t.Context(), "zeta"); err != nil || !reflect.DeepEqual(again, got) {
			t.Errorf("writing what is there changed the record: %+v, %v", again, err)
		}
		must(t, p.Put(t.Context(), driver.Project{Name: "zeta", Manifest: "/elsewhere"}))
		moved, err := p.Get(t.Context(), "zeta")
		if err != nil || moved.Manifest != "/elsewhere" || moved.RecordDigest == got.RecordDigest {
			t.Errorf("moved project: %+v, %v", moved, err)
		}
		list, err := p.List(t.Context())
		must(t, err)
		if len(list) != 2 || list[0].Name != "alpha" || !reflect.DeepEqual(list[1], moved) {
			t.Errorf("List: %+v", list)
		}
		moved.Outputs = map[string]string{"/src/zeta/out": "sha256:1"}
		must(t, p.Put(t.Context(), moved))
		if got, err := p.Get(t.Context(), "zeta"); err != nil || got.Outputs["/src/zeta/out"] != "sha256:1" {
			t.Errorf("outputs of a project: %+v, %v", got, err)
		}
		must(t, p.Delete(t.Context(), "zeta"))
		must(t, p.Delete(t.Context(), "zeta"))
		_, err = p.Get(t.Context(), "zeta")
		wantClass(t, err, driver.ErrNotFound)
	})
	t.Run("move", func(t *testing.T) {
		p := open(t)
		must(t, p.Put(t.Context(), driver.Project{Name: "shop", Manifest: "/src/microagent.yaml", MovingFrom: "store", Outputs: map[string]string{"/a": "new"}}))
		got, err := p.Get(t.Context(), "shop")
		if err != nil || got.MovingFrom != "store" {
			t.Errorf("under way: %+v, %v", got, err)
		}
		must(t, p.Put(t.Context(), driver.Project{Name: "store", Manifest: "/src/old.yaml", Outputs: map[string]string{"/a": "old", "/b": "old"}}))
		for range 2 {
			must(t, p.Move(t.Context(), "store", "shop"))
			got, err = p.Get(t.Context(), "shop")
			must(t, err)
			if got.MovingFrom != "" || got.Manifest != "/src/microagent.yaml" || !maps.Equal(got.Outputs, map[string]string{"/a": "new", "/b": "old"}) {
				t.Errorf("moved: %+v", got)
			}
			_, err = p.Get(t.Context(), "store")
			wantClass(t, err, driver.ErrNotFound)
		}
		wantClass(t, p.Move(t.Context(), "shop", "shop"), driver.ErrInvalid)
		wantClass(t, p.Move(t.Context(), "../up", "shop"), driver.ErrInvalid)
	})
	t.Run("bundle", func(t *testing.T) {
		p := open(t)
		in := driver.BundleRecord{
			Name: "counter.config", Project: "counter", Source: "./config", Exclude: []string{"*.tmp"},
			Fingerprint: driver.Fingerprint{Digest: "sha256:aa", Stat: "s", Taken: 7}, Key: "bundle-v1-aa",
		}
		must(t, p.PutBundle(t.Context(), in))
		must(t, p.PutBundle(t.Context(), in))
		list, err := p.Bundles(t.Context())
		must(t, err)
		if len(list) != 1 || list[0].RecordDigest == "" {
			t.Fatalf("Bundles: %+v", list)
		}
		first := list[0].RecordDigest
		list[0].RecordDigest = ""
		if got := list[0]; got.Name != in.Name || got.Project != in.Project || got.Source != in.Source ||
			!slices.Equal(got.Exclude, in.Exclude) || got.Fingerprint != in.Fingerprint || got.Key != in.Key {
			t.Errorf("read %+v, wrote %+v", got, in)
		}
		in.Key = "bundle-v1-bb"
		must(t, p.PutBundle(t.Context(), in))
		list, err = p.Bundles(t.Context())
		must(t, err)
		if len(list) != 1 || list[0].Key != in.Key || list[0].RecordDigest == first {
			t.Errorf("changed bundle: %+v", list)
		}
		must(t, p.DeleteBundle(t.Context(), in.Name))
		must(t, p.DeleteBundle(t.Context(), in.Name))
		if list, err = p.Bundles(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("after delete: %+v, %v", list, err)
		}
	})
	t.Run("names", func(t *testing.T) {
		p := open(t)
		for _, name := range []string{"", ".", "../up", "Upper", "a/b", "a.b.c"} {
			wantClass(t, p.Put(t.Context(), driver.Project{Name: name}), driver.ErrInvalid)
			wantClass(t, p.PutBundle(t.Context(), driver.BundleRecord{Name: name}), driver.ErrInvalid)
			_, err := p.Lock(t.Context(), name, 0)
			wantClass(t, err, driver.ErrInvalid)
		}
	})
	t.Run("lock", func(t *testing.T) {
		p := open(t)
		unlock, err := p.Lock(t.Context(), "counter", 0)
		must(t, err)
		other, err := p.Lock(t.Context(), "other", 0)
		must(t, err)
		other()
		wantClass(t, p.Locked(t.Context(), "counter"), driver.ErrLocked)
		must(t, p.Locked(t.Context(), "other"))
		must(t, p.Locked(t.Context(), "never"))
		_, err = p.Lock(t.Context(), "counter", 0)
		wantClass(t, err, driver.ErrLocked)
		if driver.Next(err) == "" {
			t.Errorf("%v does not say what to do next", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err = p.Lock(ctx, "counter", time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled wait: %v", err)
		}
		done := make(chan error)
		go func() {
			unlock, err := p.Lock(t.Context(), "counter", time.Minute)
			if err == nil {
				unlock()
			}
			done <- err
		}()
		unlock()
		if err := <-done; err != nil {
			t.Errorf("wait for a lock that is given back: %v", err)
		}
	})
}

// FakeProjects is driver.Projects in memory. The zero value is empty.
type FakeProjects struct {
	mu       sync.Mutex
	projects map[string]driver.Project
	bundles  map[string]driver.BundleRecord
	locks    map[string]bool
}

// Locked looks whether somebody has the lock.
func (f *FakeProjects) Locked(_ context.Context, project string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.locks[project] {
		return nil
	}
	return &driver.Error{Class: driver.ErrLocked, Op: "lock project", Object: project, Err: errors.New("held by another")}
}

// Lock takes the lock of a project.
func (f *FakeProjects) Lock(ctx context.Context, project string, wait time.Duration) (func(), error) {
	const op = "lock project"
	if err := fakeName(op, project); err != nil {
		return nil, err
	}
	deadline := time.Now().Add(wait)
	for {
		f.mu.Lock()
		if !f.locks[project] {
			if f.locks == nil {
				f.locks = map[string]bool{}
			}
			f.locks[project] = true
			f.mu.Unlock()
			return func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.locks[project] = false
			}, nil
		}
		f.mu.Unlock()
		if !time.Now().Before(deadline) {
			return nil, &driver.Error{
				Class: driver.ErrLocked, Op: op, Object: project,
				Err: errors.New("held by this process"), Next: "try again when it is done",
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// List gives the projects by name.
func (f *FakeProjects) List(context.Context) ([]driver.Project, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sortedValues(f.projects), nil
}

// Get gives one project.
func (f *FakeProjects) Get(_ context.Context, name string) (driver.Project, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p, ok := f.projects[name]
	if !ok {
		return driver.Project{}, &driver.Error{Class: driver.ErrNotFound, Op: "read project", Object: name}
	}
	return p, nil
}

// Put keeps a project.
func (f *FakeProjects) Put(_ context.Context, p driver.Project) error {
	if err := fakeName("record project", p.Name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.projects == nil {
		f.projects = map[string]driver.Project{}
	}
	p.RecordDigest = ""
	p.RecordDigest = fakeDigest(p)
	f.projects[p.Name] = p
	return nil
}

// Delete forgets a project.
func (f *FakeProjects) Delete(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.projects, name)
	return nil
}

// Move joins two projects.
func (f *FakeProjects) Move(_ context.Context, from, to string) error {
	const op = "move project"
	if err := errors.Join(fakeName(op, from), fakeName(op, to)); err != nil {
		return err
	}
	if from == to {
		return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: from, Err: errors.New("its name already")}
	}
	f.mu.Lock()
	old, now := f.projects[from], f.projects[to]
	delete(f.projects, from)
	f.mu.Unlock()
	outputs := maps.Clone(old.Outputs)
	if outputs == nil {
		outputs = map[string]string{}
	}
	maps.Copy(outputs, now.Outputs)
	now.Name, now.Outputs, now.MovingFrom = to, outputs, ""
	return f.Put(context.Background(), now)
}

// Bundles gives the bundles by name.
func (f *FakeProjects) Bundles(context.Context) ([]driver.BundleRecord, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return sortedValues(f.bundles), nil
}

// PutBundle keeps a bundle's record.
func (f *FakeProjects) PutBundle(_ context.Context, b driver.BundleRecord) error {
	if err := fakeName("record bundle", b.Name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.bundles == nil {
		f.bundles = map[string]driver.BundleRecord{}
	}
	b.RecordDigest = ""
	b.RecordDigest = fakeDigest(b)
	f.bundles[b.Name] = b
	return nil
}

// DeleteBundle forgets a bundle's record.
func (f *FakeProjects) DeleteBundle(_ context.Context, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.bundles, name)
	return nil
}

var _ driver.Projects = (*FakeProjects)(nil)
