package testscripts

import (
	"path/filepath"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// killcalls PREPARE CHECK COMMAND...: runs the command again and again and kills it with SIGKILL as it makes its first call
// that changes a file system, which is not made any more, then its second, and so on, until it comes to its end unharmed. The
// shell line PREPARE comes before each; CHECK, a shell line too, must succeed behind each kill, and with the word done behind
// it when the command was run once more, which must succeed.
func killcalls(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 3, "killcalls PREPARE CHECK COMMAND...")
	for n := 1; n < 500; n++ {
		run(ts, "sh", "-c", args[0])
		at := killedAtCall(ts, n, args[2:])
		if at == "" {
			run(ts, "sh", "-c", args[1]+" done")
			ts.Logf("killed at each of %d calls", n-1)
			if n < 5 {
				ts.Fatalf("only %d calls came", n-1)
			}
			return
		}
		ts.Logf("killed at call %d: %s", n, at)
		run(ts, "sh", "-c", args[1])
		run(ts, args[2], args[3:]...)
		run(ts, "sh", "-c", args[1]+" done")
	}
	ts.Fatalf("the command never comes to its end")
}

// killedAtCall runs a command and kills it as it is about to change a file system for the nth time; it says by which call, ""
// when the command ended before.
func killedAtCall(ts *testscript.TestScript, n int, line []string) (at string) {
	seen := 0
	code, text := traceCommand(ts, line, func(c call) bool {
		change, ok := changes[c.number]
		if !ok || change.where != nil && !change.where(c) {
			return false
		}
		if seen++; seen == n {
			at = change.name
		}
		return seen == n
	})
	if at == "" && code != 0 {
		ts.Fatalf("%s: it ended with %d, after %d calls: %s", filepath.Base(line[0]), code, seen, text)
	}
	return at
}

// changes are the system calls that change a file system, with what tells of a call of one that does not.
var changes = map[uint64]struct {
	name  string
	where func(call) bool
}{
	unix.SYS_OPENAT:          {"openat", creates},
	unix.SYS_WRITE:           {"write", toFile},
	unix.SYS_PWRITE64:        {"pwrite64", toFile},
	unix.SYS_COPY_FILE_RANGE: {"copy_file_range", nil},
	unix.SYS_MKDIRAT:         {"mkdirat", nil},
	unix.SYS_SYMLINKAT:       {"symlinkat", nil},
	unix.SYS_LINKAT:          {"linkat", nil},
	unix.SYS_RENAMEAT:        {"renameat", nil},
	unix.SYS_RENAMEAT2:       {"renameat2", nil},
	unix.SYS_UNLINKAT:        {"unlinkat", nil},
	unix.SYS_FCHMOD:          {"fchmod", nil},
	unix.SYS_FCHMODAT:        {"fchmodat", nil},
	unix.SYS_FTRUNCATE:       {"ftruncate", nil},
	unix.SYS_FALLOCATE:       {"fallocate", nil},
	unix.SYS_FSYNC:           {"fsync", nil},
	unix.SYS_FDATASYNC:       {"fdatasync", nil},
	unix.SYS_SYNCFS:          {"syncfs", nil},
}

func creates(c call) bool {
	return c.args[2]&(unix.O_CREAT|unix.O_TMPFILE&^unix.O_DIRECTORY) != 0
}

func toFile(c call) bool {
	to := c.file(c.args[0])
	return c.args[0] > 2 && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "/dev/")
}
