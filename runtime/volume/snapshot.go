package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"time"

	"microagent/runtime/disk/ext4/edit"
	"microagent/runtime/disk/target"
	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/schema/pattern"
)

// snapshotKind is the snapshot's name in records. The lock is its volume's.
const snapshotKind = "snapshot"

// snapshotRecord lies beside a snapshot's image; its name is the tag. The folder says of which volume it is.
type snapshotRecord struct {
	layout.Meta
	Of      string       `json:"of,omitempty"` // the id of the volume's incarnation
	Size    int64        `json:"size"`
	Created time.Time    `json:"created"`
	Made    driver.Maker `json:"made,omitempty"`
	// Making says that the image was not whole yet when this was written: a record without one, or with the volume's own under
	// a second name, is of a snapshot that was never made.
	Making bool `json:"making,omitempty"`
}

var tagForm = pattern.Of(`^[a-z0-9][a-z0-9._-]{0,62}$`)

// checkTag refuses what can't be a tag. One that begins with before- may come to be by a restore.
func checkTag(op, volume, tag string) error {
	if tagForm().MatchString(tag) {
		return nil
	}
	return &driver.Error{Class: driver.ErrInvalid, Op: op, Object: fmt.Sprintf("%s:%q", volume, tag), Err: errors.New("not a valid tag"),
		Next: "use lower-case letters, digits, dots, dashes and underscores, 63 at most"}
}

// cut takes a source apart: a volume, or a snapshot of one.
func cut(source string) (volume, tag string) {
	volume, tag, _ = strings.Cut(source, ":")
	return volume, tag
}

// Snapshot copies a volume's image into the folder of its snapshots.
func (s *Store) Snapshot(ctx context.Context, name, tag string, made driver.Maker) (driver.Snapshot, error) {
	const op = "snapshot volume"
	unlock, err := s.lock(ctx, op, name)
	if err != nil {
		return driver.Snapshot{}, err
	}
	defer unlock()
	if tag == "" {
		tag, err = s.freeTag(name, s.now().Format("20060102-150405"))
	} else if err = checkTag(op, name, tag); err == nil {
		err = s.tagFree(op, name, tag)
	}
	if err != nil {
		return driver.Snapshot{}, err
	}
	r, err := s.whole(op, name)
	if err != nil {
		return driver.Snapshot{}, err
	}
	err = s.reading(ctx, op, name, func(ctx context.Context, image origin) error {
		return s.keep(name, s.newSnapshot(r, tag, made), func(draft *target.FileDraft) error {
			if err := image.copyTo(ctx, draft); err != nil {
				return err
			}
			return recoverJournal(draft.File)
		})
	})
	if err != nil {
		return driver.Snapshot{}, wrap(op, name, err)
	}
	return s.observeSnapshot(name, tag)
}

func recoverJournal(image *os.File) error {
	info, err := image.Stat()
	if err != nil {
		return err
	}
	return edit.Recover(image, info.Size())
}

func (s *Store) newSnapshot(of *record, tag string, made driver.Maker) *snapshotRecord {
	return &snapshotRecord{
		Meta: layout.Meta{Format: layout.Format, Kind: snapshotKind, Name: tag, ID: layout.NewID(), Project: of.Project, Tool: s.Tool},
		Of:   of.ID, Size: of.Size, Created: s.moment(), Made: made,
	}
}

// keepSteps are the birthSteps of a snapshot.
func (s *Store) keepSteps(volume string, r *snapshotRecord, content fill) (steps []func() error, end func()) {
	return birthSteps(s.State.SnapshotImage(volume, r.Name), s.State.SnapshotRecord(volume, r.Name), content, func(_ *os.File, size int64, making bool) layout.Record {
		r.Size, r.Making = size, making
		return r
	})
}

func (s *Store) keep(volume string, r *snapshotRecord, content fill) error {
	if err := os.MkdirAll(s.State.SnapshotsOf(volume), 0o700); err != nil {
		return err
	}
	steps, end := s.keepSteps(volume, r, content)
	defer end()
	for _, step := range steps {
		if err := step(); err != nil {
			return errors.Join(err, s.finishSnapshot(volume, r.Name), s.dropFolder(volume))
		}
	}
	return nil
}

// tagLen is the most bytes that a tag has.
const tagLen = 63

// freeTag is want, or want with a number behind it where that is taken; what is too long for a tag loses its end.
func (s *Store) freeTag(volume, want string) (string, error) {
	for n := 1; ; n++ {
		number := ""
		if n > 1 {
			number = "-" + strconv.Itoa(n)
		}
		tag := want[:min(len(want), tagLen-len(number))] + number
		there, err := exists(s.State.SnapshotImage(volume, tag))
		if err != nil || !there {
			return tag, err
		}
	}
}

func (s *Store) tagFree(op, volume, tag string) error {
	there, err := exists(s.State.SnapshotImage(volume, tag))
	if err != nil || !there {
		return err
	}
	name := volume + ":" + tag
	return &driver.Error{Class: driver.ErrExists, Op: op, Object: volume, Err: fmt.Errorf("there is a snapshot %s already", name),
		Next: "choose another tag, or give that one up: microagent volume delete " + name}
}

// DeleteSnapshot removes a snapshot: the record says deleting, the image goes, the record goes.
func (s *Store) DeleteSnapshot(ctx context.Context, name, tag string) error {
	const op = "delete snapshot"
	if err := checkTag(op, name, tag); err != nil {
		return err
	}
	unlock, err := s.lock(ctx, op, name)
	if err != nil {
		return err
	}
	defer unlock()
	var r snapshotRecord
	if err := layout.ReadRecord(s.State.SnapshotRecord(name, tag), snapshotKind, tag, &r); err == nil {
		r.Deleting = true
		if err := layout.WriteJSON(s.State.SnapshotRecord(name, tag), &r); err != nil && !isFull(err) {
			return wrap(op, name+":"+tag, err)
		}
	}
	return wrap(op, name+":"+tag, s.removeSnapshot(name, tag))
}

func (s *Store) removeSnapshot(volume, tag string) error {
	for _, path := range []string{s.State.SnapshotImage(volume, tag), s.State.SnapshotRecord(volume, tag)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return s.dropFolder(volume)
}

// dropFolder removes the folder of the last of a volume's snapshots; where there are more, what was taken out of it is durable.
func (s *Store) dropFolder(volume string) error {
	dir := s.State.SnapshotsOf(volume)
	if err := os.Remove(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return layout.SyncDir(dir)
}
