package drivertest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"microagent/runtime/driver"
)

var _ driver.VolumeData = (*FakeVolumes)(nil)

// unused is a volume whose content may be copied.
func (f *FakeVolumes) unused(op, name string) (driver.Volume, error) {
	v, err := f.get(op, name)
	if err == nil && v.Attached {
		err = fakeBusy(op, v)
	}
	return v, err
}

// size is how large the disk of a source is.
func (f *FakeVolumes) size(op, source string) (int64, error) {
	if name, tag, of := strings.Cut(source, ":"); of {
		s, err := f.snapshot(op, name, tag)
		return s.Size, err
	}
	v, err := f.unused(op, source)
	return v.Size, err
}

func (f *FakeVolumes) snapshot(op, name, tag string) (driver.Snapshot, error) {
	s, ok := f.snapshots[name+":"+tag]
	if !ok {
		return s, &driver.Error{Class: driver.ErrNotFound, Op: op, Object: name + ":" + tag, Next: "microagent volume snapshots " + name}
	}
	return s, nil
}

// Clone makes a volume beside another.
func (f *FakeVolumes) Clone(ctx context.Context, source, to string) (driver.Cloned, error) {
	const op = "clone volume"
	from, _, _ := strings.Cut(source, ":")
	if err := errors.Join(fakeName(op, from), fakeName(op, to)); err != nil {
		return driver.Cloned{}, err
	}
	if err := f.fail("clone", source); err != nil {
		return driver.Cloned{}, err
	}
	f.mu.Lock()
	size, err := f.size(op, source)
	_, taken := f.volumes[to]
	f.mu.Unlock()
	if err != nil {
		return driver.Cloned{}, err
	}
	if taken {
		return driver.Cloned{}, &driver.Error{Class: driver.ErrExists, Op: op, Object: to, Next: "microagent volume status " + to}
	}
	made, _, err := f.Create(ctx, driver.VolumeSpec{Name: to, Size: size})
	return driver.Cloned{Volume: made, OwnIdentity: true}, err
}

// Snapshot notes one.
func (f *FakeVolumes) Snapshot(_ context.Context, name, tag string, made driver.Maker) (driver.Snapshot, error) {
	const op = "snapshot volume"
	if err := fakeTag(op, name, tag); tag != "" && err != nil {
		return driver.Snapshot{}, err
	}
	if err := f.fail("snapshot", name); err != nil {
		return driver.Snapshot{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	v, err := f.unused(op, name)
	if err != nil {
		return driver.Snapshot{}, err
	}
	f.next++
	if tag == "" {
		tag = fmt.Sprintf("20260102-%06d", f.next)
	}
	if _, taken := f.snapshots[name+":"+tag]; taken {
		return driver.Snapshot{}, &driver.Error{Class: driver.ErrExists, Op: op, Object: name, Next: "microagent volume delete " + name + ":" + tag}
	}
	return f.noteSnapshot(v, tag, made), nil
}

func (f *FakeVolumes) noteSnapshot(v driver.Volume, tag string, made driver.Maker) driver.Snapshot {
	if f.snapshots == nil {
		f.snapshots = map[string]driver.Snapshot{}
	}
	f.next++
	s := driver.Snapshot{Volume: v.Name, Tag: tag, ID: fmt.Sprintf("%016x", f.next), Of: v.ID, Project: v.Project, Size: v.Size, Made: made,
		Created: time.Unix(int64(f.next), 0).UTC(), Path: "/state/snapshots/" + v.Name + "/" + tag + ".ext4"}
	f.snapshots[s.Name()] = s
	return s
}

func fakeTag(op, name, tag string) error {
	if tag == "" || strings.ContainsAny(tag, "/:ABC ") {
		return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: name + ":" + tag}
	}
	return nil
}

// Snapshots lists them.
func (f *FakeVolumes) Snapshots(_ context.Context, name string) (list []driver.Snapshot, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range sortedValues(f.snapshots) {
		if name == "" || s.Volume == name {
			list = append(list, s)
		}
	}
	return list, nil
}

// Restore keeps the volume that is there, or makes it anew.
func (f *FakeVolumes) Restore(_ context.Context, name, tag string) (driver.Restored, error) {
	const op = "restore volume"
	if err := fakeTag(op, name, tag); err != nil {
		return driver.Restored{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s, err := f.snapshot(op, name, tag)
	if err != nil {
		return driver.Restored{}, err
	}
	v, there := f.volumes[name]
	var out driver.Restored
	switch {
	case there && v.Attached:
		return out, fakeBusy(op, v)
	case there:
		kept := f.noteSnapshot(v, "before-"+tag, driver.MadeByRestore)
		out.Kept = &kept
	default:
		v = driver.Volume{Name: name, Project: s.Project, Created: s.Created, Path: "/state/volumes/" + name + ".ext4"}
	}
	if f.next++; !there {
		v.ID = fmt.Sprintf("%016x", f.next)
	}
	v.Size = max(v.Size, s.Size)
	out.Volume = f.put(v)
	return out, nil
}

// DeleteSnapshot forgets one.
func (f *FakeVolumes) DeleteSnapshot(_ context.Context, name, tag string) error {
	if err := errors.Join(fakeTag("delete snapshot", name, tag), f.fail("delete", name+":"+tag)); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.snapshots, name+":"+tag)
	return nil
}

var _ driver.VolumeStreams = (*FakeVolumes)(nil)

// Export writes the size of the source.
func (f *FakeVolumes) Export(_ context.Context, source string, _ driver.ExportForm, w io.Writer) (driver.Exported, error) {
	f.mu.Lock()
	size, err := f.size("export volume", source)
	f.mu.Unlock()
	if err != nil {
		return driver.Exported{}, err
	}
	n, err := fmt.Fprintln(w, size)
	return driver.Exported{Size: size, Written: int64(n)}, err
}

// Import reads that again.
func (f *FakeVolumes) Import(ctx context.Context, spec driver.ImportSpec, r io.Reader) (driver.Volume, error) {
	var size int64
	if _, err := fmt.Fscanln(r, &size); err != nil {
		return driver.Volume{}, &driver.Error{Class: driver.ErrCorrupt, Op: "import volume", Object: spec.Name, Err: err}
	}
	v, created, err := f.Create(ctx, driver.VolumeSpec{Name: spec.Name, Size: max(size, spec.Size)})
	if err == nil && !created {
		return driver.Volume{}, &driver.Error{Class: driver.ErrExists, Op: "import volume", Object: spec.Name, Next: "microagent volume status " + spec.Name}
	}
	return v, err
}

// Usage says that half of the disk is in use.
func (f *FakeVolumes) Usage(_ context.Context, name string) (driver.VolumeUsage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	v, err := f.get("measure volume", name)
	if err != nil {
		return driver.VolumeUsage{}, err
	}
	u := driver.VolumeUsage{Volume: name, Size: v.Size, Allocated: v.Size / 2, Used: v.Size / 2, Free: v.Size - v.Size/2, Files: 11, MaxFile: 1024, Live: v.Attached}
	for _, s := range f.snapshots {
		if s.Volume == name {
			u.Snapshots++
			u.SnapshotBytes += s.Size / 2
		}
	}
	return u, nil
}

// Trim finds nothing.
func (f *FakeVolumes) Trim(_ context.Context, name string) (int64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.unused("trim volume", name)
	return 0, err
}

// Check finds nothing.
func (f *FakeVolumes) Check(_ context.Context, source string) ([]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.size("check volume", source)
	return nil, err
}
