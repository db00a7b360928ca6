// Command hostileguest is the init of a guest that is an attacker: it has the machine, the agent and the protocol of a
// guest of ours, and turns against its host what the file /hostile of its root disk names. It is a payload of
// the tests alone, which boot it in the place of cmd/microagent-guest; no program that anybody is given holds it.
//
// A kind is one word. Those of before.go and wire.go hold for the whole guest; with the others the guest behaves until
// it is asked for a path below /evil, or to run the program evil.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/agent"
	"microagent/runtime/guest/initd"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "hostileguest is the init of a guest of the tests; it does nothing elsewhere")
		os.Exit(64)
	}
	initd.As(attack)
}

func attack(ctx context.Context, g *initd.Guest) error {
	kind, err := readKind()
	if err != nil {
		return err
	}
	g.Log.Printf("hostile: %s", kind)
	if early := before[kind]; early != nil {
		return early(ctx, g)
	}
	control, streams, err := g.Listen(ctx)
	if err != nil {
		return err
	}
	return (&liar{AgentService: nil, kind: kind, log: g.Log}).serve(ctx, agent.New(g.Machine, g.Log), control, streams)
}

// readKind gives the word in /hostile on the disk whose serial is root, without replaying its journal.
func readKind() (string, error) {
	serials, _ := filepath.Glob("/sys/block/*/serial")
	for _, file := range serials {
		if serial, err := os.ReadFile(file); err != nil || strings.TrimSpace(string(serial)) != "root" {
			continue
		}
		const at = "/kind"
		if err := os.MkdirAll(at, 0o700); err != nil {
			return "", err
		}
		device := "/dev/" + filepath.Base(filepath.Dir(file))
		if err := unix.Mount(device, at, "ext4", unix.MS_RDONLY, "noload"); err != nil {
			return "", fmt.Errorf("mount %s: %w", device, err)
		}
		kind, err := os.ReadFile(at + "/hostile")
		return strings.TrimSpace(string(kind)), errors.Join(err, unix.Unmount(at, 0))
	}
	return "", errors.New("there is no disk called root")
}
