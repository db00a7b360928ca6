// Package qemu is the adapter: a process that serves Cloud Hypervisor's REST API, v53, on a unix socket and runs
// QEMU below it, so that everything above package ch works where cloud-hypervisor or KVM is missing.
//
// Promised: the states, statuses, error chains, events and the hybrid vsock socket are those of the real program,
// wherever ch/chtest compares them. What can't be done is refused by a chain that ch.IsUnsupported knows, never
// ignored. A disk is opened once, by the adapter or by who started it, locked as Cloud Hypervisor locks it, and its
// open file, which is also its lease, goes to QEMU: disks are free when QEMU is gone, whatever happened to the adapter.
// QEMU dies with the adapter.
//
// Never: a listening port, a file opened by QEMU but the kernel and its firmware, cache=unsafe, an agent of the
// guest that opens a connection to the host.
//
// Under software emulation nothing here is a security boundary. The command line calls Main in a hidden
// subcommand; runtime/machine calls Find.
package qemu

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// Exit codes, as the real program's.
const (
	exitOK    = 0
	exitError = 1
	exitUsage = 2
)

// Main runs the adapter until the guest powers off, vmm.shutdown, SIGTERM, SIGINT or the end of ctx, and gives
// the process's exit code. It sets the process's umask: call it in a process of its own.
func Main(ctx context.Context, args []string, stderr io.Writer) int {
	f, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		fmt.Fprintf(stderr, "microagent qemu: %v\n", err)
		return exitUsage
	}
	unix.Umask(0o077)
	ctx, stop := signal.NotifyContext(ctx, unix.SIGTERM, unix.SIGINT)
	defer stop()
	code, err := run(ctx, f, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "microagent qemu: %v\n", err)
		return exitError
	}
	return code
}

func run(ctx context.Context, f *flags, stderr io.Writer) (code int, err error) {
	watch := startStopwatch()
	log := stderr
	if f.logFile != "" {
		file, err := os.OpenFile(f.logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return 0, err
		}
		defer file.Close()
		log = file
	}
	h, version, err := newHost(ctx, f, watch, log)
	if err != nil {
		return 0, err
	}
	defer h.spawner.close()
	events, err := openEvents(f.events)
	if err != nil {
		return 0, err
	}
	monitor, err := newMonitor(events)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, monitor.close()) }()
	listener, done, err := listenAPI(f.socket)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, done()) }()
	v := &vmm{host: h, monitor: monitor, log: log, noShutdown: f.noShutdown, version: version, pid: os.Getpid(), quit: make(chan int, 1)}
	monitor.emit("vmm", "starting", nil)
	return serve(ctx, v, listener)
}

// serve answers until the VMM ends.
func serve(ctx context.Context, v *vmm, listener net.Listener) (int, error) {
	httpServer := &http.Server{Handler: newHandler(server{v}), ReadHeaderTimeout: time.Minute}
	served := make(chan error, 1)
	go func() { served <- httpServer.Serve(listener) }()
	var code int
	var failed error
	select {
	case code = <-v.quit:
	case <-ctx.Done():
		v.mu.Lock()
		v.end(exitOK)
		v.mu.Unlock()
		code = <-v.quit
	case failed = <-served:
		served <- failed
		v.mu.Lock()
		v.end(exitError)
		v.mu.Unlock()
	}
	// The answer to vmm.shutdown must go out first; a client that does not read it is not waited for.
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if err := httpServer.Shutdown(grace); err != nil {
		failed = errors.Join(failed, httpServer.Close())
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		failed = errors.Join(failed, err)
	}
	v.work.Wait()
	return code, failed
}

// newHost settles what every start of QEMU has in common.
func newHost(ctx context.Context, f *flags, watch stopwatch, log io.Writer) (*host, string, error) {
	p, ok := programs[runtime.GOARCH]
	if !ok {
		return nil, "", fmt.Errorf("%w: none is known for %s", ErrNone, runtime.GOARCH)
	}
	h := &host{binary: f.binary, accel: f.accel, watch: watch, program: p, sandbox: true, opened: f.opened, handed: f.handed, firmware: firstFile(p.firmware)}
	version := ""
	if h.binary == "" || h.accel == "" {
		found, err := Find(ctx)
		if err != nil {
			return nil, "", err
		}
		version = found.Version
		if h.binary == "" {
			h.binary = found.Binary
		}
		if h.accel == "" {
			h.accel = found.Accel
		}
	}
	if f.binary != "" {
		var err error
		if version = f.version; version != "" {
			err = newEnough(f.binary, version)
		} else {
			version, err = versionOf(ctx, f.binary)
		}
		if err != nil {
			return nil, "", err
		}
	}
	h.spawner = newSpawner(log)
	return h, version, nil
}

// openEvents gives nil when no monitor was asked for.
func openEvents(t target) (*os.File, error) {
	switch {
	case !t.given():
		return nil, nil
	case t.fd >= 0:
		return inheritedFile(t.fd, "event-monitor")
	}
	return os.OpenFile(t.path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
}
