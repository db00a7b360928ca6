package testscripts

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"microagent/runtime/guest/payload"
)

// guestDir names the environment variable with the folder that the guest binary was built in.
const guestDir = "MICROAGENT_TEST_GUEST"

// hostileFile names the environment variable with the file of the payload that hostile guests boot.
const hostileFile = "MICROAGENT_TEST_HOSTILE"

// guest is the embedded binary, or in a clean clone, where none is embedded, the one that buildGuest built. The hostile
// one gets in by this function of the tests' own program: microagent has none of it.
func guest(arch string) ([]byte, error) {
	if file := os.Getenv(hostileFile); file != "" {
		return os.ReadFile(file)
	}
	data, err := payload.Guest(arch)
	if dir := os.Getenv(guestDir); err != nil && dir != "" {
		return os.ReadFile(filepath.Join(dir, "microagent-guest-"+arch+".zst"))
	}
	return data, err
}

// buildGuest builds the guest binary where none is embedded.
func buildGuest() (cleanup func(), err error) {
	if _, err := payload.Guest(runtime.GOARCH); err == nil {
		return func() {}, nil
	}
	dir, err := os.MkdirTemp("", "microagent-guest-")
	if err != nil {
		return nil, err
	}
	cleanup = func() { os.RemoveAll(dir) }
	if err := buildPayload(dir, "microagent/cmd/microagent-guest"); err != nil {
		cleanup()
		return nil, err
	}
	return cleanup, os.Setenv(guestDir, dir)
}

// buildPayload builds a guest's init into dir, packed as the program has its own.
func buildPayload(dir, command string) error {
	out, err := exec.Command("go", "run", "../runtime/guest/payload/build", "-o", dir, "-command", command).CombinedOutput()
	if err != nil {
		return fmt.Errorf("build %s: %w\n%s", command, err, out)
	}
	return nil
}

// shared is the state directory that the guest kernel is installed in, once for all scripts.
var shared = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "microagent-kernel-")
	if err != nil {
		return "", err
	}
	args := []string{"kernel", "install"}
	if deb := os.Getenv("MICROAGENT_TEST_KERNEL_DEB"); deb != "" {
		args = append(args, "--deb", deb)
	}
	cmd := exec.Command("microagent", args...)
	cmd.Env = append(os.Environ(), "MICROAGENT_STATE_DIR="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("install the guest kernel for all scripts: %w\n%s", err, out.Bytes())
	}
	return filepath.Join(dir, "kernels"), nil
})

// kernel: installs the guest kernel in the script's state directory, as a copy of one that all share.
func kernel(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 0, "kernel")
	ts.Check(placeKernel(ts.Getenv("STATE")))
}

// placeKernel is kernel for a state directory.
func placeKernel(state string) error {
	from, err := shared()
	if err != nil {
		return err
	}
	to := filepath.Join(state, "kernels")
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		if err := os.Link(path, filepath.Join(to, name)); !errors.Is(err, unix.EXDEV) {
			return err
		}
		return duplicate(path, filepath.Join(to, name)) // on another file system
	})
}

func duplicate(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o600)
}

// buildStatic DIR FILE: builds a program of testdata for guests, which have no libraries.
func buildStatic(ts *testscript.TestScript, neg bool, args []string) {
	need(ts, neg, args, 2, "static DIR FILE")
	cmd := exec.Command("go", "build", "-o", ts.MkAbs(args[1]), "./testdata/"+args[0])
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		ts.Fatalf("build %s: %v\n%s", args[0], err, out)
	}
}
