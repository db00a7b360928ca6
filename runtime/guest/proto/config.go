package proto

import (
	"encoding/json"
	"reflect"
	"time"

	"microagent/runtime/guest/proto/wire"
	"microagent/schema/spec"
)

// Config makes a booted guest into a workspace.
type Config struct {
	Root   Mount   // its Path is "/"
	Mounts []Mount // mounted in this order; a path that is missing in the root is made
	// Guest is what the guest is to be; an exec takes from it what it leaves empty.
	Guest spec.Guest
	// Argv is the workspace's own process, without which it idles; StopSignal as in Command.
	Argv       []string
	StopSignal string
	// Directories are made in the root file system where they are missing, before anything is mounted over them.
	Directories []string
	Hostname    string    // where Guest says none; "" keeps the image's, or "localhost"
	Wall        time.Time // the guest's clock; zero means the moment of the call
	Seed        []byte    // entropy, at most 512 bytes
	Network     *Network  // nil leaves the guest with lo alone
}

// Mount attaches a disk, found by its virtio serial, at a guest path.
type Mount struct {
	Serial   string // at most 20 bytes
	Path     string // absolute
	FS       string // "" means ext4
	ReadOnly bool
	// Owner ("uid:gid" or names in the guest) and Mode are given to the root of a writable file system
	// that was never mounted before. "" and 0 keep what is there.
	Owner string
	Mode  uint32
	Grow  bool // to the size of its device
	// Discard gives back to the host what files leave free.
	Discard bool
}

// Command says what runs and as whom.
type Command struct {
	Argv       []string
	Env        map[string]string
	User       string // "name", "uid", "name:group", "uid:gid"; "" is root
	Workdir    string // made when it is missing; "" is "/"
	StopSignal string // "SIGTERM", "TERM", "15", "SIGRTMIN+3"; "" is SIGTERM
}

// ExecSpec is a process to start.
type ExecSpec struct {
	ID string // names the process in this boot; "" takes a random one
	// Main starts the configured process. Only ID, Terminal, Size and Timeout count beside it.
	Main bool
	// Command: what it leaves empty is the configured process's, its Env is laid over that one's.
	Command  Command
	Terminal bool
	Size     WindowSize // at start, with Terminal
	// Timeout sends SIGTERM, and SIGKILL five seconds later, also while stdin is open; 0 is never.
	Timeout time.Duration
}

// WindowSize is a terminal's size in characters.
type WindowSize struct{ Rows, Columns uint16 }

// Exit is how a process ended.
type Exit struct {
	// Code is the exit code; 128+n after signal n, 126 when the command can't be executed, 127 when it
	// isn't there.
	Code     int
	Signal   int  // 0 when it exited by itself
	TimedOut bool // by ExecSpec.Timeout
	// Message says why it was not started; it was written to stderr as well.
	Message string
	// OutOfMemory names the process that the guest's kernel killed for want of memory, when that is how this one came to
	// its end: itself, or one whose end it passes on as code 137.
	OutOfMemory string
}

func (m Mount) wire() *wire.Mount {
	fs := m.FS
	if fs == "" {
		fs = "ext4"
	}
	return &wire.Mount{
		Serial: m.Serial, Path: m.Path, Fs: fs, ReadOnly: m.ReadOnly, Owner: m.Owner, Mode: m.Mode, Grow: m.Grow, Discard: m.Discard,
	}
}

func (c Command) wire() *wire.Process {
	return &wire.Process{Argv: c.Argv, Env: c.Env, User: c.User, Workdir: c.Workdir, StopSignal: c.StopSignal}
}

func (s WindowSize) wire() *wire.WindowSize {
	return &wire.WindowSize{Rows: uint32(s.Rows), Columns: uint32(s.Columns)}
}

// GuestOf is what a request tells the guest to be.
func GuestOf(req *wire.ConfigureRequest) (spec.Guest, error) {
	p := req.GetProcess()
	g := spec.Guest{Env: p.GetEnv(), User: p.GetUser(), Workdir: p.GetWorkdir()}
	if len(req.GetGuest()) == 0 {
		return g, nil
	}
	if err := json.Unmarshal(req.GetGuest(), &g); err != nil {
		return g, Errorf(CodeInvalid, "what the guest is to be: %v", err)
	}
	return g, nil
}

func (c Config) wire() *wire.ConfigureRequest {
	wall := c.Wall
	if wall.IsZero() {
		wall = time.Now()
	}
	req := &wire.ConfigureRequest{
		Root: c.Root.wire(), Directories: c.Directories, Hostname: c.Hostname, WallNanos: wall.UnixNano(), Seed: c.Seed,
		Network: c.Network.wire(),
		Process: Command{c.Argv, c.Guest.Env, c.Guest.User, c.Guest.Workdir, c.StopSignal}.wire(),
	}
	keys := c.Guest
	keys.Env, keys.User, keys.Workdir = nil, "", "" // Process has them
	if !reflect.ValueOf(keys).IsZero() {            // most have no other, and a guest that reads none has no use for a reader of JSON
		req.Guest, _ = json.Marshal(keys) // of texts alone, which nothing can go wrong with
	}
	for _, m := range c.Mounts {
		req.Mounts = append(req.Mounts, m.wire())
	}
	return req
}
