// Command build compiles the guest binary for the architectures it is given, or for its own.
package main

import (
	"flag"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

func main() {
	log.SetFlags(0)
	out := flag.String("o", "bin", "directory to write to")
	flag.Parse()
	arches := flag.Args()
	if len(arches) == 0 {
		arches = []string{runtime.GOARCH}
	}
	for _, arch := range arches {
		if err := build(filepath.Join(*out, "microagent-guest-"+arch), arch); err != nil {
			log.Fatalf("build guest binary for %s: %v", arch, err)
		}
	}
}

func build(out, arch string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", out,
		"microagent/cmd/microagent-guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=", "GOAMD64=v1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}
