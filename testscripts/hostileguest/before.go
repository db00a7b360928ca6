package main

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/agent"
	"microagent/runtime/guest/initd"
)

// before are what a guest does in the place of answering its host.
var before = map[string]func(ctx context.Context, g *initd.Guest) error{
	"reset": func(context.Context, *initd.Guest) error { return reset() },
	"mute": func(_ context.Context, g *initd.Guest) error {
		g.Log.Printf(flooded)
		never()
		return nil
	},
	// No hello ever ends, and none is one.
	"preamble": func(_ context.Context, g *initd.Guest) error {
		return flood(g.Log, nil, []byte(strings.Repeat("microagent-hello 0123456789abcdef0123456789abcdeX\n", 1000)))
	},
	// Each opens a stream of the guest's, which are all refused: an answer each, which the guest does not read.
	"syn": func(_ context.Context, g *initd.Guest) error {
		var frames []byte
		for id := uint32(2); id < 4000; id += 2 {
			frames = append(frames, muxFrame(muxWindow, muxSyn, id, 0)...)
		}
		return flood(g.Log, []byte(hello), frames)
	},
	"pings": func(_ context.Context, g *initd.Guest) error {
		return flood(g.Log, []byte(hello), muxFrame(muxPing, muxSyn, 0, 1))
	},
	// Content of streams that nobody opened, in frames of four gigabytes.
	"bodies": func(_ context.Context, g *initd.Guest) error {
		return flood(g.Log, []byte(hello+string(muxFrame(muxData, 0, 2, 1<<32-1))), make([]byte, 64<<10))
	},
}

func reset() error { return unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) }

// hello begins a boot (package serialmux).
const hello = "microagent-hello 0123456789abcdef0123456789abcdef\n"

// Of a yamux frame (github.com/hashicorp/yamux, spec.md): types, and the flag that opens a stream.
const (
	muxData   = 0
	muxWindow = 1
	muxPing   = 2
	muxSyn    = 1
)

func muxFrame(kind byte, flags uint16, stream, length uint32) []byte {
	frame := []byte{0, kind}
	frame = binary.BigEndian.AppendUint16(frame, flags)
	frame = binary.BigEndian.AppendUint32(frame, stream)
	return binary.BigEndian.AppendUint32(frame, length)
}

// floodTime is how long a guest floods before it says so; the host may have stopped reading by then.
const (
	floodTime = 2 * time.Second
	flooded   = "hostile: at it"
)

// flood writes to the serial port below the protocol for ever: first once, then again and again what follows.
func flood(log *agent.Log, first, again []byte) error {
	time.AfterFunc(floodTime, func() { log.Printf(flooded) })
	names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
	for _, name := range names {
		if text, err := os.ReadFile(name); err != nil || strings.TrimSpace(string(text)) != "agent" {
			continue
		}
		port, err := os.OpenFile("/dev/"+filepath.Base(filepath.Dir(name)), os.O_RDWR, 0)
		if err != nil {
			return err
		}
		if _, err := port.Write(first); err != nil {
			return err
		}
		for {
			if _, err := port.Write(again); err != nil {
				return err
			}
		}
	}
	return errors.New("there is no serial port")
}
