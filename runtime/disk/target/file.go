package target

import (
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
)

// File is a disk in a regular file, by its path.
type File string

var _ Target = File("")

func (f File) Path() string                          { return string(f) }
func (f File) Claim(mode lease.Mode) (*Claim, error) { return claim(string(f), mode) }

// Draft begins a file without a name.
func (f File) Draft(perm fs.FileMode) (Draft, error) {
	if _, err := os.Lstat(string(f)); err == nil {
		return nil, &driver.Error{Class: driver.ErrExists, Op: "make a disk", Object: string(f)}
	}
	d, err := f.Nameless(perm)
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Nameless is a draft in the folder of f that may be published under another name there, once its content is known.
func (f File) Nameless(perm fs.FileMode) (*FileDraft, error) {
	d, err := layout.NewDraft(string(f), perm)
	if err != nil {
		return nil, err
	}
	return &FileDraft{d}, nil
}

// Traceless is Nameless where a draft leaves nothing whatever happens, and where no folder need be there yet;
// errors.ErrUnsupported where the file system can't.
func (f File) Traceless(perm fs.FileMode) (*FileDraft, error) {
	d, err := layout.NewTraceless(string(f), perm)
	if err != nil {
		return nil, err
	}
	return &FileDraft{d}, nil
}

// FileDraft is a Draft that becomes a file.
type FileDraft struct{ *layout.Draft }

var _ Draft = (*FileDraft)(nil)

// Discard makes a hole; the file reads as zeros there.
func (d *FileDraft) Discard(at, n int64) error {
	return unix.Fallocate(int(d.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, at, n)
}

func (d *FileDraft) Writeback(at, n int64) { writeback(d.File, at, n) }
