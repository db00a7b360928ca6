//go:build linux

// The guest program is the init of the guests that the conformance suite boots: it loads the modules that lie in
// /modules, in the order of their names, and answers commands on a port, over vsock where there is one and over
// the serial port of the adapter where not. A connection is one command: a line, and for echo the bytes after it. The
// agent of microagent's own guests answers beside it.
package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/serialmux"
)

// port is where commands are answered.
const port = 7000

func main() {
	for _, m := range []struct{ kind, path string }{{"proc", "/proc"}, {"sysfs", "/sys"}, {"devtmpfs", "/dev"}} {
		_ = os.MkdirAll(m.path, 0o755)
		if err := unix.Mount(m.kind, m.path, m.kind, 0, ""); err != nil {
			say("mount %s: %v", m.path, err)
		}
	}
	modules, _ := filepath.Glob("/modules/*.ko")
	for _, path := range modules {
		if err := load(path); err != nil {
			say("load %s: %v", path, err)
		}
	}
	if err := loopback(); err != nil {
		say("interface lo: %v", err)
	}
	say("guest is up")
	for {
		say("serve: %v", serve())
		time.Sleep(20 * time.Millisecond)
	}
}

func say(format string, a ...any) {
	f, err := os.OpenFile("/dev/console", os.O_WRONLY, 0)
	if err != nil {
		return
	}
	defer f.Close()
	fmt.Fprintf(f, format+"\n", a...)
}

func load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return unix.FinitModule(int(f.Fd()), "", 0)
}

func serve() error {
	names, _ := filepath.Glob("/sys/class/virtio-ports/*/name")
	for _, name := range names {
		text, _ := os.ReadFile(name)
		if strings.TrimSpace(string(text)) != "agent" {
			continue
		}
		fd, err := unix.Open("/dev/"+filepath.Base(filepath.Dir(name)), unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		session, err := serialmux.Guest(context.Background(), os.NewFile(uintptr(fd), "agent"))
		if err != nil {
			return err
		}
		return listen(func(port uint32) (net.Listener, error) { return session.Listen(port) })
	}
	return listen(func(port uint32) (net.Listener, error) { return vsock.ListenContextID(unix.VMADDR_CID_ANY, port, nil) })
}

// listen takes the guest's own port and those of the agent.
func listen(on func(port uint32) (net.Listener, error)) error {
	control, err := on(proto.ControlPort)
	if err != nil {
		return err
	}
	streams, err := on(proto.StreamPort)
	if err != nil {
		return err
	}
	listener, err := on(port)
	if err != nil {
		return err
	}
	go func() { say("agent: %v", serveAgent(control, streams)) }()
	return accept(listener)
}

func accept(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer conn.Close()
			in := bufio.NewReader(conn)
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			words := strings.Fields(line)
			if len(words) > 0 && words[0] == "echo" {
				_, _ = io.Copy(conn, in)
				_ = conn.(interface{ CloseWrite() error }).CloseWrite()
				return
			}
			fmt.Fprintln(conn, command(words))
		}()
	}
}

func command(words []string) string {
	switch {
	case len(words) == 1 && words[0] == "boot-id":
		text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
		return answer(strings.TrimSpace(string(text)), err)
	case len(words) == 1 && words[0] == "cmdline":
		text, err := os.ReadFile("/proc/cmdline")
		return answer(strings.TrimSpace(string(text)), err)
	case len(words) == 1 && words[0] == "cpus":
		text, err := os.ReadFile("/sys/devices/system/cpu/present")
		return answer(strings.TrimSpace(string(text)), err)
	case len(words) == 1 && words[0] == "memory":
		return answer(memory())
	case len(words) == 2 && words[0] == "size":
		return answer(size(words[1]))
	case len(words) == 3 && words[0] == "write":
		return answer("ok", write(words[1], words[2]))
	case len(words) == 2 && words[0] == "read":
		return answer(read(words[1]))
	case len(words) == 4 && words[0] == "discard":
		return answer("ok", discard(words[1], words[2], words[3]))
	case len(words) == 3 && words[0] == "serve":
		return answer("ok", serveTCP(words[1], words[2]))
	case len(words) == 2 && words[0] == "dial":
		return dial(words[1])
	case len(words) == 1:
		how, ok := map[string]int{"poweroff": unix.LINUX_REBOOT_CMD_POWER_OFF, "reboot": unix.LINUX_REBOOT_CMD_RESTART}[words[0]]
		if ok {
			unix.Sync()
			return answer("", unix.Reboot(how))
		}
		if words[0] == "panic" {
			return answer("", os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0))
		}
	}
	return "error: unknown command"
}

func answer(text string, err error) string {
	if err != nil {
		return "error: " + err.Error()
	}
	return text
}

// device gives the node of the disk with a serial.
func device(serial string) (string, error) {
	files, _ := filepath.Glob("/sys/block/*/serial")
	for _, f := range files {
		if text, _ := os.ReadFile(f); strings.TrimSpace(string(text)) == serial {
			return filepath.Base(filepath.Dir(f)), nil
		}
	}
	return "", fmt.Errorf("no disk %s", serial)
}

// openDisk opens the node of the disk with a serial.
func openDisk(serial string, flag int) (*os.File, error) {
	name, err := device(serial)
	if err != nil {
		return nil, err
	}
	return os.OpenFile("/dev/"+name, flag, 0)
}

func size(serial string) (string, error) {
	name, err := device(serial)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile("/sys/block/" + name + "/size")
	if err != nil {
		return "", err
	}
	sectors, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63)
	return strconv.FormatUint(sectors*512, 10), err
}

// memory gives the bytes that the kernel sees in whole blocks, which it takes into use or not.
func memory() (string, error) {
	blocks, err := filepath.Glob("/sys/devices/system/memory/memory[0-9]*")
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile("/sys/devices/system/memory/block_size_bytes")
	if err != nil {
		return "", err
	}
	size, err := strconv.ParseUint(strings.TrimSpace(string(text)), 16, 63)
	return strconv.FormatUint(uint64(len(blocks))*size, 10), err
}

// write puts text at the start of a disk and makes it durable.
func write(serial, text string) error {
	f, err := openDisk(serial, os.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	sector := make([]byte, 512)
	binary.BigEndian.PutUint32(sector, uint32(len(text)))
	copy(sector[4:], text)
	if _, err := f.Write(sector); err != nil {
		return err
	}
	return f.Sync()
}

// discard says that nobody needs so many bytes of a disk from a place on, as linux/fs.h has it: BLKDISCARD is _IO(0x12, 119)
// and takes two numbers of 64 bits.
func discard(serial, at, size string) error {
	const blkDiscard = 0x1277
	var area [2]uint64
	for i, text := range []string{at, size} {
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			return err
		}
		area[i] = n
	}
	f, err := openDisk(serial, os.O_WRONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), blkDiscard, uintptr(unsafe.Pointer(&area))); errno != 0 {
		return os.NewSyscallError("ioctl BLKDISCARD", errno)
	}
	return f.Sync()
}

func read(serial string) (string, error) {
	f, err := openDisk(serial, os.O_RDONLY)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sector := make([]byte, 512)
	if _, err := io.ReadFull(f, sector); err != nil {
		return "", err
	}
	n := binary.BigEndian.Uint32(sector)
	if n > 508 {
		return "", fmt.Errorf("length %d", n)
	}
	return string(sector[4 : 4+n]), nil
}

// dial connects to a port of the host and gives the line that it is sent.
func dial(number string) string {
	n, err := strconv.ParseUint(number, 10, 32)
	if err != nil {
		return answer("", err)
	}
	conn, err := vsock.Dial(vsock.Host, uint32(n), nil)
	if err != nil {
		return answer("", err)
	}
	defer conn.Close()
	line, err := bufio.NewReader(conn).ReadString('\n')
	return answer(strings.TrimSpace(line), err)
}
