package agent

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// KernelLog is what the kernel logs from when it is listened to: records of /dev/kmsg, as
// Documentation/ABI/testing/dev-kmsg has them. What processes write there is left out.
type KernelLog struct{ fd int }

// ListenToKernel opens the log at its end. Where there is none, nothing is ever said.
func ListenToKernel() KernelLog {
	fd, err := unix.Open("/dev/kmsg", unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return KernelLog{-1}
	}
	if _, err := unix.Seek(fd, 0, unix.SEEK_END); err != nil {
		_ = unix.Close(fd)
		return KernelLog{-1}
	}
	return KernelLog{fd}
}

// Close ends the listening.
func (k KernelLog) Close() {
	if k.fd >= 0 {
		_ = unix.Close(k.fd)
	}
}

// The longest record, and how many are looked at in one go, since others log too.
const (
	kmsgRecord  = 8 << 10
	kmsgRecords = 1000
)

// Said gives the lines that were logged since the last call.
func (k KernelLog) Said() (lines []string) {
	record := make([]byte, kmsgRecord)
	for range kmsgRecords {
		n, err := unix.Read(k.fd, record)
		if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.EINTR) { // records were overwritten: the next one is there
			continue
		}
		if err != nil || n == 0 {
			break
		}
		if line, ok := kernelLine(string(record[:n])); ok {
			lines = append(lines, line)
		}
	}
	return lines
}

// await returns when there is something to read, or after so long.
func (k KernelLog) await(most time.Duration) {
	if k.fd >= 0 {
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(k.fd), Events: unix.POLLIN}}, int(most.Milliseconds()))
	}
}

// kernelLine gives the text of a record, "3,42,1234,-;text" and lines that do not count. The first number is the facility
// times eight and the level; the facility is 0 of what the kernel says, and never of what a process writes there.
func kernelLine(record string) (string, bool) {
	head, rest, ok := strings.Cut(record, ";")
	first, _, _ := strings.Cut(head, ",")
	if n, err := strconv.Atoi(first); !ok || err != nil || n>>3 != 0 {
		return "", false
	}
	line, _, _ := strings.Cut(rest, "\n")
	return line, true
}
