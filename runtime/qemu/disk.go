package qemu

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"microagent/ch/api"
)

const sector = 512

// disk is a disk of a VM that has been built: its file is open, and QEMU gets that same open file, so that it
// never opens a path and the lock on it lasts as long as QEMU.
type disk struct {
	config    api.DiskConfig
	file      *os.File
	qid       string // QEMU's name of the device and, with "n" before it, of the block node; ids of the API may not fit
	set       int    // number of the fd set that carries file
	bdf       string
	port      int       // the root port it is plugged into; -1 for one that was there at boot
	function  int       // which of its slot's it is
	shares    bool      // its slot with others
	place     string    // of QEMU's device: its bus and address there
	length    int64     // what the guest may see when the file is no multiple of a sector long; 0: all
	device    bool      // file is a block device
	lastFault time.Time // that was told
	gone      bool      // its removal was asked for, and the guest has not answered yet
}

func (d *disk) readOnly() bool { return deref(d.config.Readonly) }
func (d *disk) node() string   { return "n" + d.qid }

// openDisk opens the file of a disk and checks that its content is what the configuration says. It takes no lock.
func openDisk(c api.DiskConfig, inherited opened) (*disk, error) {
	path := deref(c.Path)
	if path == "" {
		return nil, because(textDeviceManager, "No disk path was specified when one was expected")
	}
	flags := unix.O_RDWR
	if deref(c.Readonly) {
		flags = unix.O_RDONLY
	}
	file, err := inherited.open(path, flags)
	if err != nil {
		return nil, wrap(err, textDeviceManager, "Cannot open disk path", fmt.Sprintf("I/O error (path=%s op=open)", path))
	}
	d := &disk{config: c, file: file, port: -1}
	if err := d.check(); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return d, nil
}

func (d *disk) check() error {
	info, err := d.file.Stat()
	if err != nil {
		return wrap(err, textDeviceManager, "Cannot open disk path")
	}
	if info.IsDir() {
		return wrap(syscall.EISDIR, textDeviceManager, "Cannot open disk path", fmt.Sprintf("I/O error (path=%s op=open)", d.file.Name()))
	}
	d.device = info.Mode()&os.ModeType == os.ModeDevice
	size, err := d.file.Seek(0, io.SeekEnd)
	if err != nil {
		return wrap(err, textDeviceManager, "Cannot open disk path")
	}
	if size < sector {
		return because(textDeviceManager, fmt.Sprintf("Disk image is shorter than one sector: %s", d.file.Name()))
	}
	if size%sector != 0 {
		d.length = size / sector * sector
	}
	found, err := detect(d.file, size)
	if err != nil {
		return wrap(err, textDeviceManager, "Cannot read the disk image")
	}
	want := deref(d.config.ImageType)
	switch {
	case want != api.ImageTypeUnknown && want != found:
		return because(textDeviceManager, fmt.Sprintf("Disk image type does not match expected type: specified = %s, detected = %s", typeText(want), typeText(found)))
	case found != api.ImageTypeRaw:
		return unsupported("disks[].image_type: Raw only")
	}
	d.config.ImageType = &found
	return nil
}

// detect tells an image's type by its first and last bytes.
func detect(f io.ReaderAt, size int64) (api.ImageType, error) {
	var head, tail [8]byte
	if _, err := f.ReadAt(head[:], 0); err != nil {
		return "", err
	}
	if _, err := f.ReadAt(tail[:], size-sector); err != nil {
		return "", err
	}
	switch {
	case bytes.HasPrefix(head[:], []byte("QFI\xfb")):
		return api.ImageTypeQcow2, nil
	case bytes.Equal(head[:], []byte("vhdxfile")):
		return api.ImageTypeVhdx, nil
	case bytes.Equal(tail[:], []byte("conectix")):
		return api.ImageTypeFixedVhd, nil
	}
	return api.ImageTypeRaw, nil
}

func typeText(t api.ImageType) string { return strings.ToLower(string(t)) }

// lock takes the lock that keeps other VMMs off.
func (d *disk) lock() error {
	if err := lockDisk(d.file, d.readOnly()); err != nil {
		return wrap(err, "Cannot lock images of all block devices")
	}
	return nil
}

func (d *disk) close() error { return d.file.Close() }
