package payload

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"microagent/runtime/driver"
)

func TestMissingBinarySaysWhatToDo(t *testing.T) {
	_, err := Guest("pdp11")
	if !errors.Is(err, driver.ErrUnavailable) || driver.Next(err) == "" {
		t.Errorf("%v, next %q", err, driver.Next(err))
	}
}

func TestBuildIsReproducible(t *testing.T) {
	if testing.Short() {
		t.Skip("builds the guest twice")
	}
	build := func() []byte {
		dir := t.TempDir()
		if out, err := exec.Command("go", "run", "./build", "-o", dir).CombinedOutput(); err != nil {
			t.Fatalf("build: %v\n%s", err, out)
		}
		data, err := os.ReadFile(filepath.Join(dir, "microagent-guest-"+runtime.GOARCH+".zst"))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if first := build(); !bytes.Equal(first, build()) {
		t.Error("two builds differ")
	}
}
