package driver

import (
	"context"
	"io"
)

// ExportForm is what an export writes.
type ExportForm string

const (
	// ExportImage is the disk image, with zstd; what no file has reads as zeros.
	ExportImage ExportForm = "image"
	// ExportTar is a tar of the files.
	ExportTar ExportForm = "tar"
)

// Exported is what was written.
type Exported struct {
	Size    int64   // of the disk, in bytes
	Written int64   // bytes of the stream
	LeftOut LeftOut // by name; of a tar
}

// ImportSpec asks for a volume of a stream's content.
type ImportSpec struct {
	Name string
	// Size is how large the disk is to be, in bytes: more than an image has, or enough for the files of a tar, which has
	// ImportTarSize where it is 0.
	Size int64
	Max  int64 // nothing larger is taken
}

// Sizes of imports where nothing else is said, in bytes.
const (
	ImportTarSize = 1 << 30
	ImportMax     = 64 << 30
)

// VolumeStreams brings what is on volumes out of the state directory and into it.
type VolumeStreams interface {
	// Export writes what a source, as of VolumeData, holds at one moment.
	Export(ctx context.Context, source string, as ExportForm, w io.Writer) (Exported, error)
	// Import makes a volume of no project of an image or a tar, packed or plain: what r is, is told by its first bytes. It is
	// hostile: ErrRefused for more than Max bytes, ErrUnsupported for a file system that guests can't use, ErrCorrupt for one
	// that is damaged or cut short, and there is no volume then. ErrExists where the name is taken.
	Import(ctx context.Context, spec ImportSpec, r io.Reader) (Volume, error)
}
