// Command build compiles the guest binary for the architectures it is given, or for its own, and packs it with zstd:
// the same bytes from the same sources.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

func main() {
	log.SetFlags(0)
	out := flag.String("o", "bin", "directory to write to")
	command := flag.String("command", "microagent/cmd/microagent-guest", "package of the guest's init")
	flag.Parse()
	arches := flag.Args()
	if len(arches) == 0 {
		arches = []string{runtime.GOARCH}
	}
	for _, arch := range arches {
		if err := build(filepath.Join(*out, "microagent-guest-"+arch+".zst"), *command, arch); err != nil {
			log.Fatalf("build guest binary for %s: %v", arch, err)
		}
	}
}

func build(out, command, arch string) error {
	scratch, err := os.MkdirTemp("", "microagent-guest-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch)
	binary := filepath.Join(scratch, "microagent-guest")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", binary,
		command)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOAMD64=v1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	return pack(out, data)
}

func pack(out string, data []byte) error {
	var packed bytes.Buffer
	w, err := zstd.NewWriter(&packed, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	return os.WriteFile(out, packed.Bytes(), 0o644)
}
