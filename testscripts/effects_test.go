package testscripts

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"
)

// effect is what a call is to others than the process that makes it, in words; "" for nothing: what it asks its VMM, its guest
// or a supervisor for, a name that a file gets or loses, what is written to a file that has one, a lock that is taken or given
// back, and a socket of the host that is bound, listens or is closed.
func effect(c call) string {
	if of, ok := effects[c.number]; ok {
		return of(c)
	}
	return ""
}

var effects = map[uint64]func(call) string{
	unix.SYS_WRITE:     func(c call) string { return c.says(c.args[0], c.bytes(c.args[1], c.args[2])) },
	unix.SYS_PWRITE64:  func(c call) string { return c.says(c.args[0], c.bytes(c.args[1], c.args[2])) },
	unix.SYS_SENDMSG:   func(call) string { return "hand over a file" },
	unix.SYS_LINKAT:    func(c call) string { return "link " + c.name(c.args[3]) },
	unix.SYS_RENAMEAT:  func(c call) string { return "rename to " + c.name(c.args[3]) },
	unix.SYS_RENAMEAT2: func(c call) string { return "rename to " + c.name(c.args[3]) },
	unix.SYS_UNLINKAT:  func(c call) string { return "unlink " + c.name(c.args[1]) },
	unix.SYS_MKDIRAT:   func(c call) string { return "mkdir " + c.name(c.args[1]) },
	unix.SYS_FTRUNCATE: func(c call) string { return c.onFile("truncate", c.args[0]) },
	unix.SYS_FALLOCATE: func(c call) string { return c.onFile("allocate", c.args[0]) },
	unix.SYS_FLOCK:     func(c call) string { return c.onFile("lock", c.args[0]) },
	unix.SYS_BIND:      func(call) string { return "bind" },
	unix.SYS_LISTEN:    func(call) string { return "listen" },
	unix.SYS_CLOSE: func(c call) string {
		if c.file(c.args[0]) == "" || !strings.HasSuffix(c.file(c.args[0]), ".ext4") {
			return ""
		}
		return c.onFile("close", c.args[0])
	},
}

// name is the last part of a path that a call is of.
func (c call) name(at uint64) string {
	path, _, _ := bytes.Cut(c.bytes(at, 4096), []byte{0})
	return filepath.Base(string(path))
}

// onFile is nothing for a file that has no name, for a log, and for what the tests' own process reads.
func (c call) onFile(what string, fd uint64) string {
	to := c.file(fd)
	if !strings.HasPrefix(to, "/") || strings.HasPrefix(to, "/dev/") || strings.HasSuffix(to, " (deleted)") || strings.HasSuffix(to, ".log") || fd <= 2 {
		return ""
	}
	return what + " " + filepath.Base(to)
}

// What is asked for in the streams of VMMs (a change, not a look), of guests (ttrpc: service, then method) and of supervisors.
var spoken = []struct {
	how  string
	what *regexp.Regexp
}{
	{"ask VMM: ", regexp.MustCompile(`^PUT /api/v1/(\S+)`)},
	{"ask guest: ", regexp.MustCompile(`^(?s:.{10,14})microagent\.guest\.v1\.Agent\x12.([A-Z][A-Za-z]+)`)},
	{"ask supervisor: ", regexp.MustCompile(`^Q(?s:.{4})\{"version":\d+,"call":"(\w+)"`)},
	{"ask gateway: ", regexp.MustCompile(`^(N)(?s:.{4})\{`)},
	{"answer: ", regexp.MustCompile(`^R(?s:.{4})(\{.?)`)},
}

// says is what a write is.
func (c call) says(fd uint64, data []byte) string {
	if !strings.HasPrefix(c.file(fd), "socket:") {
		return c.onFile("write", fd)
	}
	for _, a := range spoken {
		if m := a.what.FindSubmatch(data); m != nil {
			return a.how + string(m[1])
		}
	}
	return ""
}
