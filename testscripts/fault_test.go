package testscripts

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

func init() {
	maps.Copy(commands, map[string]func(ts *testscript.TestScript, neg bool, args []string){
		"tmpfs":     tmpfs,
		"readonly":  readonly,
		"tarball":   tarball,
		"killsteps": killsteps,
	})
}

// tmpfs DIR SIZE: mounts a file system of that size at DIR. It needs root.
func tmpfs(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "tmpfs DIR SIZE")
	dir := ts.MkAbs(args[0])
	ts.Check(os.MkdirAll(dir, 0o700))
	ts.Check(unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,size="+args[1]))
	ts.Defer(func() {
		killBelow(dir)
		ts.Check(unix.Unmount(dir, unix.MNT_DETACH))
	})
}

// readonly DIR: nothing can be written below DIR until the script ends.
func readonly(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 1, "readonly DIR")
	dir := ts.MkAbs(args[0])
	if os.Geteuid() == 0 { // modes don't keep root from writing
		ts.Check(unix.Mount(dir, dir, "", unix.MS_BIND, ""))
		ts.Defer(func() { ts.Check(unix.Unmount(dir, unix.MNT_DETACH)) })
		ts.Check(unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""))
		return
	}
	modes := map[string]fs.FileMode{}
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		info, err := d.Info()
		modes[path] = info.Mode()
		return errors.Join(err, os.Chmod(path, info.Mode()&^0o222))
	}))
	ts.Defer(func() {
		for path, mode := range modes {
			ts.Check(os.Chmod(path, mode))
		}
	})
}

// tarball FILE ENTRY...: writes a tar. An entry is NAME, a file of 100 kB; NAME/ for a folder; NAME->TARGET for a
// symbolic link; NAME=>TARGET for a hard link; dev:NAME for a block device.
func tarball(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "tarball FILE ENTRY...")
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, entry := range args[1:] {
		h := &tar.Header{Name: entry, Typeflag: tar.TypeReg, Mode: 0o644}
		var data []byte
		if name, target, ok := strings.Cut(entry, "->"); ok {
			h.Name, h.Linkname, h.Typeflag = name, target, tar.TypeSymlink
		} else if name, target, ok := strings.Cut(entry, "=>"); ok {
			h.Name, h.Linkname, h.Typeflag = name, target, tar.TypeLink
		} else if name, ok := strings.CutPrefix(entry, "dev:"); ok {
			h.Name, h.Typeflag, h.Devmajor, h.Devminor = name, tar.TypeBlock, 8, 1
		} else if strings.HasSuffix(entry, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		} else {
			data = bytes.Repeat([]byte("some text\n"), 10_000)
			h.Size = int64(len(data))
		}
		ts.Check(w.WriteHeader(h))
		_, err := w.Write(data)
		ts.Check(err)
	}
	ts.Check(w.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), buf.Bytes(), 0o644))
}

// killsteps PREPARE COMMAND...: runs the command in a fresh world again and again and kills it with SIGKILL when it
// tells of its first event, then of its second, and so on, until it comes to its end unharmed. The shell line PREPARE
// sets each world up; after each kill the plan is asked for and the command is run once more, which must succeed and
// leave nothing to do, and file systems that are whole.
func killsteps(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "killsteps PREPARE COMMAND...")
	state := ts.Getenv("STATE")
	line := append(args[1:], "--progress", "json")
	for n := 1; n < 100; n++ {
		killBelow(state)
		ts.Check(os.RemoveAll(state))
		kernel(ts, false, nil)
		run(ts, "sh", "-c", args[0])
		killed := killedAt(ts, n, line)
		run(ts, "microagent", "plan")
		run(ts, args[1], args[2:]...)
		if slices.Contains(args[1:], "apply") {
			run(ts, "microagent", "plan", "--detailed-exitcode")
		}
		images, _ := filepath.Glob(state + "/volumes/*.ext4")
		roots, _ := filepath.Glob(state + "/workspaces/*/rootfs.ext4")
		for _, image := range append(images, roots...) {
			run(ts, "e2fsck", "-fn", image)
		}
		if strays, _ := filepath.Glob(state + "/*/.*"); len(strays) > 0 {
			ts.Fatalf("killed at event %d: left behind: %v", n, strays)
		}
		if !killed {
			ts.Logf("killed at each of %d events", n-1)
			if n < 5 {
				ts.Fatalf("only %d events came", n-1)
			}
			return
		}
	}
	ts.Fatalf("the command never comes to its end")
}

// run runs a command that must succeed.
func run(ts *testscript.TestScript, name string, args ...string) {
	if err := ts.Exec(name, args...); err != nil {
		ts.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
}

// killedAt runs a command and kills it when its stderr has n lines; false when it ended before.
func killedAt(ts *testscript.TestScript, n int, line []string) bool {
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append(os.Environ(), "MICROAGENT_STATE_DIR="+ts.Getenv("STATE"), "HOME="+ts.Getenv("HOME"))
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	killed := false
	lines := bufio.NewScanner(stderr)
	const progress = `"type":"progress"`
	for seen, last := 0, ""; lines.Scan(); last = lines.Text() {
		if strings.Contains(last, progress) && strings.Contains(lines.Text(), progress) {
			continue // one moment of many
		}
		if seen++; seen == n {
			killed = cmd.Process.Kill() == nil
			ts.Logf("killed at: %s", lines.Text())
		}
	}
	err = cmd.Wait()
	if !killed && err != nil {
		ts.Fatalf("%s: %v", strings.Join(line, " "), fmt.Errorf("after %d events: %w", n, err))
	}
	return killed
}
