package drivertest

import (
	"os"
	"strconv"
	"strings"

	"microagent/runtime/driver"
)

// fakeShell is what FakeWorkspaces understands of `sh -c SCRIPT`, so that one spec works with the fake and in a
// real guest. Statements are parted by "; ":
//
//	echo WORDS          to standard output; $NAME is a variable of the environment
//	echo WORDS >&2      to standard error
//	echo WORDS > PATH   into a file
//	exit N
//	sleep N             until the workspace is stopped
//
// Any other program does nothing and succeeds.
type fakeShell struct {
	stdout, stderr strings.Builder
	files, env     map[string]string
	code           int
	sleeps         bool
}

func runFakeShell(argv []string, files, env map[string]string) *fakeShell {
	s := &fakeShell{files: files, env: env}
	if len(argv) != 3 || argv[0] != "sh" || argv[1] != "-c" {
		return s
	}
	for statement := range strings.SplitSeq(argv[2], "; ") {
		word, rest, _ := strings.Cut(statement, " ")
		switch word {
		case "echo":
			s.echo(rest)
		case "cat":
			text, ok := s.files[rest]
			if s.stdout.WriteString(text); !ok {
				s.code = 1
			}
		case "exit":
			s.code, _ = strconv.Atoi(rest)
			return s
		case "sleep":
			s.sleeps = true
			return s
		}
	}
	return s
}

func (s *fakeShell) echo(rest string) {
	if text, ok := strings.CutSuffix(rest, " >&2"); ok {
		s.stderr.WriteString(text + "\n")
		return
	}
	if text, path, ok := strings.Cut(rest, " > "); ok {
		s.files[path] = text + "\n"
		return
	}
	s.stdout.WriteString(os.Expand(rest, func(name string) string { return s.env[name] }) + "\n")
}

// Shell is a process of mode that runs script; see fakeShell for what a script may hold.
func Shell(mode driver.Mode, script string) driver.Process {
	return driver.Process{Mode: mode, Argv: []string{"sh", "-c", script}, StopSignal: "SIGTERM"}
}
