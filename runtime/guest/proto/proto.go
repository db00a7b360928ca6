// Package proto is the protocol between the host and the agent in a guest, and the host's side of it. It promises
// that a call either did what it says or gives an error, that the end of a byte stream can't be mistaken for a
// connection that broke, and that no answer of a guest makes the host allocate more than the limits below. It
// never starts a guest, never retries a call, and escapes nothing: who prints what a guest said escapes it.
//
// The supervisor uses Session; the agent (package agent) uses the frames, the names and the errors.
//
// Transport. The host dials two ports in the guest. ControlPort carries ttrpc (wire.Agent), one connection for
// all calls. StreamPort carries one byte stream a connection. The guest opens no connection. How a port is
// dialled is the dialler's business: cloud-hypervisor's hybrid vsock socket, or serialmux over a serial port.
//
// Streams. Both directions are frames: one byte of type, four bytes of length (big endian), that many bytes,
// at most MaxFrame.
//
//	'H' header   the first frame, by the host: wire.StreamHeader
//	'O' ok       the first frame, by the guest: empty
//	'D' data     bytes of the stream
//	'E' end      empty; the sender will send no more. A connection that ends without it was cut off.
//	'X' error    wire.StreamError; the sender gave up, also instead of 'O'
//	'N' next     empty; on a dial stream of TCP, by the guest after both ends: the connection is over, and the host may
//	             send the header of another dial
//
// Either side may close the connection at any time; the other treats a missing end as "the peer is gone".
package proto

import (
	"context"
	"net"
	"time"
)

// The version of the protocol. Hosts and guests of one major version understand each other.
const (
	Major = 1
	Minor = 1
)

// Ports of the agent.
const (
	ControlPort uint32 = 1024
	StreamPort  uint32 = 1025
)

// Limits, in bytes unless said otherwise.
const (
	MaxFrame   = 64 << 10 // the payload of one frame
	MaxRequest = 2 << 20  // an encoded Configure or Start
	MaxText    = 4 << 10  // any string that a guest answers; longer ones are cut
	MaxMounts  = 64       // disks of a guest
	MaxPorts   = 1024     // ports that one stream watches
	// FetchLimit is what Fetch sends at most when the host names no limit.
	FetchLimit int64 = 64 << 30
)

// FreezeLimit is how long a file system of a guest is frozen at most.
const FreezeLimit = 5 * time.Second

// Capabilities that a guest's hello lists.
const (
	CapExec     = "exec"
	CapTerminal = "terminal"
	CapFiles    = "files" // fetch, put, stat
	CapGrow     = "grow"
	CapLog      = "log"
	CapDial     = "dial" // dial, one connection after another on a stream; listening
	CapPackets  = "packets"
	CapStats    = "stats"
	CapChanged  = "changed"
	CapEnv      = "env" // SetEnv
	CapFreeze   = "freeze"
	CapTrim     = "trim"
	CapProbe    = "probe"
	CapMount    = "mount" // Mount, Unmount
	CapOnline   = "online"
)

// Kinds of streams.
const (
	KindStdin  = "stdin"
	KindStdout = "stdout"
	KindStderr = "stderr"
	KindTTY    = "tty"
	KindLog    = "log"
	KindFetch  = "fetch"
	KindPut    = "put"

	KindDial      = "dial"      // the bytes of a connection, or datagrams (Datagrams)
	KindListening = "listening" // a byte for each port that was asked for, 1 when a server is there, again after each change
	KindPackets   = "packets"   // frames of package packets, of the interface that Configure made
	KindChanged   = "changed"   // a byte, 1 when what is at the path was made or changed since the start, again when that is otherwise

	KindProbe = "probe" // wire.ProbeRequest to its end; back, each as a datagram, wire.ProbeResult

	KindStats = "stats" // Stats, as JSON
)

// Dialer connects to a port in the guest. It may block until the guest listens or until ctx ends, and may fail
// at once while the guest boots; Connect tries again.
type Dialer func(ctx context.Context, port uint32) (net.Conn, error)

// Hello is what a guest said about itself. Its strings are the guest's words.
type Hello struct {
	Major, Minor uint32
	Build        string
	Capabilities []string
	BootID       string // differs after a guest reboot
	Kernel       string
	Configured   bool // in this boot
	Uptime       time.Duration
}

// Has says whether the guest listed a capability.
func (h Hello) Has(capability string) bool {
	for _, c := range h.Capabilities {
		if c == capability {
			return true
		}
	}
	return false
}
