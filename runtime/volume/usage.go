package volume

import (
	"context"
	"errors"
	"os"

	"microagent/runtime/disk/ext4/read"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// looks is how often the counts of a file system are read that a guest may be writing at that moment.
const looks = 5

// Usage reads the counts of an image's groups, and never waits for who uses it.
func (s *Store) Usage(ctx context.Context, name string) (driver.VolumeUsage, error) {
	const op = "measure volume"
	if _, err := s.whole(op, name); err != nil {
		return driver.VolumeUsage{}, err
	}
	v, err := s.Get(ctx, name)
	if err != nil {
		return driver.VolumeUsage{}, err
	}
	out := driver.VolumeUsage{Volume: name, Size: v.Size, Allocated: v.Allocated, Live: v.Attached && (v.Holder == nil || !v.Holder.ReadOnly)}
	f, err := os.Open(v.Path)
	if err != nil {
		return out, wrap(op, name, err)
	}
	defer f.Close()
	for range looks {
		if err = count(f, v.Size, &out); err == nil {
			break
		}
	}
	if err != nil {
		return out, wrap(op, name, err)
	}
	list, err := s.Snapshots(ctx, name)
	for _, one := range list {
		out.Snapshots++
		out.SnapshotBytes += one.Allocated
	}
	return out, err
}

// count sums up what the groups say is free.
func count(image *os.File, size int64, out *driver.VolumeUsage) error {
	f, err := read.OpenReplayed(image, size)
	if err != nil {
		return err
	}
	var blocks, inodes int64
	for g := range f.Groups {
		d, err := f.Group(g)
		if err != nil {
			return err
		}
		blocks += int64(d.FreeBlocks)
		inodes += int64(d.FreeInodes)
	}
	cluster := f.BlockSize << (f.Super.LogClusterSize - f.Super.LogBlockSize)
	out.Free = min(blocks*cluster, f.Info().Size)
	out.Used = f.Info().Size - out.Free
	out.MaxFile = int64(f.Super.Inodes)
	out.Files = max(out.MaxFile-inodes, 0)
	return nil
}

// Trim replays the journal, and makes holes of what is free after it. A guest that writes to the volume does it itself.
func (s *Store) Trim(ctx context.Context, name string) (int64, error) {
	const op = "trim volume"
	unlock, err := s.lock(ctx, op, name)
	if err != nil {
		return 0, err
	}
	defer unlock()
	if _, err := s.whole(op, name); err != nil {
		return 0, err
	}
	c, err := s.hold(op, name)
	if workspace := s.writer(name); errors.Is(err, driver.ErrBusy) && workspace != "" && s.TrimLive != nil {
		freed, err := s.trimLive(ctx, workspace, name, err)
		return freed, wrap(op, name, err)
	}
	if err != nil {
		return 0, err
	}
	defer c.Close()
	freed, err := punch(ctx, c.File())
	return freed, wrap(op, name, err)
}

// trimLive says what the image took more before; what the guest says of it counts for nothing.
func (s *Store) trimLive(ctx context.Context, workspace, name string, busy error) (int64, error) {
	before, err := s.stat(name)
	if err == nil {
		err = s.TrimLive(ctx, workspace, name)
	}
	if errors.Is(err, driver.ErrUnsupported) {
		return 0, busy
	}
	if err != nil {
		return 0, err
	}
	after, err := s.stat(name)
	if err != nil || before == nil || after == nil {
		return 0, err
	}
	return max(layout.Allocated(before)-layout.Allocated(after), 0), nil
}

func punch(ctx context.Context, image *os.File) (int64, error) {
	if err := recoverJournal(image); err != nil {
		return 0, err
	}
	before, err := image.Stat()
	if err != nil {
		return 0, err
	}
	f, err := read.Open(image, before.Size())
	if err != nil {
		return 0, err
	}
	at := int64(0)
	for run, err := range f.Used() {
		if err = errors.Join(err, ctx.Err()); err == nil {
			err = hole(image, at, run.Physical)
		}
		if err != nil {
			return 0, err
		}
		at = run.Physical + run.Length
	}
	if err := hole(image, at, f.Info().Size); err != nil {
		return 0, err
	}
	after, err := image.Stat()
	if err != nil {
		return 0, err
	}
	return max(layout.Allocated(before)-layout.Allocated(after), 0), image.Sync()
}
