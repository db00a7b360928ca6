package initd

import (
	"bytes"
	"errors"
	"strings"

	"golang.org/x/sys/unix"
)

// kernelLog is what the kernel logs from when it is listened to: records of /dev/kmsg, as
// Documentation/ABI/testing/dev-kmsg has them.
type kernelLog struct{ fd int }

// listenToKernel opens the log at its end. Where there is none, nothing is ever said.
func listenToKernel() kernelLog {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return kernelLog{-1}
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		_ = unix.Close(fd)
		return kernelLog{-1}
	}
	return kernelLog{fd}
}

func (k kernelLog) Close() {
	if k.fd >= 0 {
		_ = unix.Close(k.fd)
	}
}

// The longest record, and how many are looked at, since others log too.
const (
	kmsgRecord  = 8 << 10
	kmsgRecords = 1000
)

// About is what ext4 and its journal have said of a device, such as "vdb", since.
func (k kernelLog) About(device string) string {
	var said []string
	record := make([]byte, kmsgRecord)
	for range kmsgRecords {
		n, err := unix.Read(k.fd, record)
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR) { // records were overwritten: the next one is there
			continue
		}
		if err != nil || n == 0 {
			break
		}
		if text, ok := ext4Message(record[:n], device); ok {
			said = append(said, text)
		}
	}
	return strings.Join(said, "; ")
}

// ext4Message gives what a record of /dev/kmsg says of a device: "3,42,1234,-;EXT4-fs (vdb): text" and lines that do not
// count. The journal's own messages name none.
func ext4Message(record []byte, device string) (string, bool) {
	_, rest, ok := bytes.Cut(record, []byte(";"))
	if !ok {
		return "", false
	}
	line, _, _ := strings.Cut(string(rest), "\n")
	if text, ok := strings.CutPrefix(line, "JBD2: "); ok {
		return text, true
	}
	if !strings.HasPrefix(line, "EXT4-fs") {
		return "", false
	}
	for _, by := range []string{"(" + device + "): ", "(device " + device + "): "} {
		if _, text, ok := strings.Cut(line, by); ok {
			return text, true
		}
	}
	return "", false
}
