package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto/wire"
)

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// command is a process's start, resolved in the root file system.
type command struct {
	path string
	argv []string
	env  []string
	dir  string
	id   identity
}

// notRun says why a command can't run, with a shell's exit code for it.
type notRun struct {
	code int // 126 or 127
	text string
}

func (e *notRun) Error() string { return e.text }

// merge lays an exec's command over the configured one.
func merge(base, over *wire.Process) *wire.Process {
	out := &wire.Process{
		Argv: over.GetArgv(), Env: map[string]string{}, User: over.GetUser(), Workdir: over.GetWorkdir(),
	}
	for k, v := range base.GetEnv() {
		out.Env[k] = v
	}
	for k, v := range over.GetEnv() {
		out.Env[k] = v
	}
	if out.User == "" {
		out.User = base.GetUser()
	}
	if out.Workdir == "" {
		out.Workdir = base.GetWorkdir()
	}
	return out
}

// resolve makes a command of p: user, environment, working directory, program. The working directory made, that of the
// workspace, is made when it is missing; another one has to be there.
func resolve(p *wire.Process, a accounts, terminal bool, made string) (*command, error) {
	if len(p.GetArgv()) == 0 {
		return nil, &notRun{127, "there is no command to run"}
	}
	id, err := a.find(p.GetUser())
	if err != nil {
		return nil, &notRun{126, err.Error()}
	}
	c := &command{argv: p.GetArgv(), id: id, dir: fromRoot(p.GetWorkdir())}
	if err := enterable(c.dir, fromRoot(made)); err != nil {
		return nil, &notRun{126, fmt.Sprintf("working directory %s: %v", c.dir, cause(err))}
	}
	env := map[string]string{"PATH": defaultPath, "HOME": id.home}
	if name, err := os.Hostname(); err == nil {
		env["HOSTNAME"] = name
	}
	if terminal {
		env["TERM"] = "xterm"
	}
	for k, v := range p.GetEnv() {
		env[k] = v
	}
	for k, v := range env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.Contains(v, "\x00") {
			return nil, &notRun{126, fmt.Sprintf("environment variable %q can't be passed on", k)}
		}
		c.env = append(c.env, k+"="+v)
	}
	slices.Sort(c.env)
	for _, arg := range c.argv {
		if strings.Contains(arg, "\x00") {
			return nil, &notRun{126, "an argument holds a zero byte"}
		}
	}
	c.path, err = find(c.argv[0], c.dir, env["PATH"], c.id.runnable)
	return c, err
}

// fromRoot makes a working directory absolute; "" is the root.
func fromRoot(dir string) string {
	if filepath.IsAbs(dir) {
		return dir
	}
	return "/" + dir
}

func enterable(dir, made string) error {
	if dir == made {
		return os.MkdirAll(dir, 0o755)
	}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = unix.ENOTDIR
	}
	return err
}

// find looks a program up as execvp(3) does: one that must not be executed does not hide another that is further on PATH.
func find(name, dir, path string, runnable func(path string) error) (string, error) {
	if name == "" {
		return "", &notRun{127, "the command's name is empty"}
	}
	if strings.Contains(name, "/") {
		if !filepath.IsAbs(name) {
			return name, runnable(filepath.Join(dir, name))
		}
		return name, runnable(name)
	}
	denied := error(nil)
	for _, d := range filepath.SplitList(path) {
		if !filepath.IsAbs(d) {
			d = filepath.Join(dir, d)
		}
		candidate := filepath.Join(d, name)
		err := runnable(candidate)
		if err == nil {
			return candidate, nil
		}
		if nr, ok := errors.AsType[*notRun](err); ok && nr.code == 126 && denied == nil {
			denied = err
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", &notRun{127, fmt.Sprintf("%s: command not found", name)}
}

// execFailed says why the kernel did not take a program that looked runnable.
func execFailed(path string, err error) *notRun {
	code := 126
	if errors.Is(err, fs.ErrNotExist) {
		code = 127 // its interpreter or loader is missing
		return &notRun{code, fmt.Sprintf("%s: no such file or directory (or its interpreter is missing)", path)}
	}
	return &notRun{code, fmt.Sprintf("%s: %v", path, cause(err))}
}

// cause is the innermost error, without Go's words around it.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
