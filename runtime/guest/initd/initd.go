// Package initd is process 1 of a guest. It promises to bring the machine up to where the host can configure it,
// to reap orphans, and never to return: what it can't go on with is a line "microagent-init: fatal: ..." on the
// console and a power-off, because a process 1 that ends makes the kernel panic and, with panic=-1, boot for ever.
// It never halts, which would leave a virtual machine running with nothing in it.
//
// What the guest is to do comes over the channel (package agent); nothing is read from the kernel's command line.
// cmd/microagent-guest imports it.
package initd

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/agent"
)

// Guest is a machine that its init has brought up to where the host can be answered.
type Guest struct {
	Log     *agent.Log
	Machine agent.System
}

// Run is the whole life of a guest.
func Run() { As(answerHost) }

// As is Run with another life than the agent's: serve must not return.
func As(serve func(ctx context.Context, g *Guest) error) {
	log := agent.NewLog(os.Stderr)
	defer func() {
		if r := recover(); r != nil {
			fatal(log, fmt.Errorf("panic: %v\n%s", r, debug.Stack()))
		}
	}()
	fatal(log, live(log, serve))
}

func live(log *agent.Log, serve func(ctx context.Context, g *Guest) error) error {
	for _, s := range early {
		if err := s.Do(); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	if err := agent.GoAhead(); err != nil {
		log.Printf("the agent waits for its turn as any process: %v", err)
	}
	note("init runs")
	raiseLimits(log)
	saveMemory()
	loadModules(log, ModuleList)
	note("modules loaded")
	for _, s := range ahead {
		if err := s.Do(); err != nil {
			log.Printf("%s: %v", s, err)
		}
	}
	return serve(context.Background(), &Guest{Log: log, Machine: &system{log: log, disks: map[string]mounted{}, helper: dismissHelper()}})
}

// note leaves a line in the kernel's log, beside what the kernel says of its own boot: dmesg shows when. Nothing of it goes
// to the console, and a kernel without that log is none that boots otherwise.
func note(what string) {
	fd, err := unix.Open("/dev/kmsg", unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(fd) }()
	_, _ = unix.Write(fd, []byte("<7>microagent: "+what+"\n")) // 7 is KERN_DEBUG, of linux/kern_levels.h
}

// agentShare is the part of the guest's memory above which the agent looks for garbage before it takes more. What its
// streams hold of slow processes and servers is most of what it has, and leaves as much garbage when it grows.
const agentShare = 8

func saveMemory() {
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		debug.SetMemoryLimit(int64(info.Totalram) * int64(info.Unit) / agentShare)
	}
}

func answerHost(ctx context.Context, g *Guest) error {
	a := agent.New(g.Machine, g.Log)
	if err := a.Prepare(); err != nil {
		return err
	}
	control, streams, err := g.Listen(ctx)
	if err != nil {
		return err
	}
	g.Log.Printf("agent ready")
	return a.Serve(ctx, control, streams)
}

// fatal says why on the console and powers off.
func fatal(log *agent.Log, err error) {
	if err == nil {
		err = fmt.Errorf("the agent ended")
	}
	log.Printf("fatal: %v", err)
	powerOff()
}

func powerOff() {
	unix.Sync()
	// On a machine that can't, the next line is the last resort.
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}

// raiseLimits gives the guest's processes room for open files, as service managers do.
func raiseLimits(log *agent.Log) {
	const soft, hard = 1024, 1 << 20
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: soft, Max: hard}); err != nil {
		log.Printf("limit of open files: %v", err)
	}
}
