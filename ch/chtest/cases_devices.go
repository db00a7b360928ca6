package chtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microagent/ch"
)

func testVsock(t *testing.T, s Server) {
	v := s.start(t)
	must(t, v.client.Create(t.Context(), v.config(s.Guest)))
	must(t, v.client.Boot(t.Context()))

	t.Run("before the guest is up", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		conn, err := ch.VsockDialer{Dial: ch.Unix(v.path("vsock"))}.DialOnce(ctx, guestPort)
		if err == nil {
			conn.Close()
			t.Skip("the guest was up before it could be asked")
		}
		if !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a connection before the guest is up: %v", err)
		}
	})
	v.ask("boot-id")
	t.Run("no listener", func(t *testing.T) {
		_, err := ch.VsockDialer{Dial: ch.Unix(v.path("vsock")), Attempt: patience}.DialOnce(t.Context(), 4242)
		if !errors.Is(err, ch.ErrVsockRefused) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("bad lines", func(t *testing.T) {
		for _, line := range []string{"CONNECT\n", "HELLO 7000\n", "CONNECT 99999999999\n", "CONNECT 7000 7000 7000 7000 7000 7000 7000\n"} {
			conn, err := net.Dial("unix", v.path("vsock"))
			must(t, err)
			_, _ = io.WriteString(conn, line)
			must(t, conn.SetReadDeadline(time.Now().Add(patience)))
			if text, err := io.ReadAll(conn); len(text) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%q was answered by %q, %v", line, text, err)
			}
			conn.Close()
		}
	})
	t.Run("local ports", func(t *testing.T) {
		ports := make([]uint32, 2)
		for i := range ports {
			conn, err := net.Dial("unix", v.path("vsock"))
			must(t, err)
			defer conn.Close()
			_, err = fmt.Fprintf(conn, "connect %d\r\n", guestPort)
			must(t, err)
			must(t, conn.SetReadDeadline(time.Now().Add(patience)))
			ports[i], err = ch.ReadVsockOK(conn)
			must(t, err)
		}
		if ports[0] < 1<<30 || ports[1] <= ports[0] {
			t.Errorf("local ports %v", ports)
		}
	})
	t.Run("pipelined", func(t *testing.T) {
		conn, err := net.Dial("unix", v.path("vsock"))
		must(t, err)
		defer conn.Close()
		_, err = fmt.Fprintf(conn, "CONNECT %d\necho\nhello there", guestPort)
		must(t, err)
		must(t, conn.(*net.UnixConn).CloseWrite())
		must(t, conn.SetReadDeadline(time.Now().Add(patience)))
		_, err = ch.ReadVsockOK(conn)
		must(t, err)
		if text, err := io.ReadAll(conn); err != nil || string(text) != "hello there" {
			t.Errorf("came back: %q, %v", text, err)
		}
	})
	t.Run("1 MiB and half-close", func(t *testing.T) {
		data := make([]byte, 1<<20)
		_, _ = rand.Read(data)
		conn := v.dial(guestPort)
		defer conn.Close()
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		sent := make(chan error, 1)
		go func() {
			_, err := conn.Write(append([]byte("echo\n"), data...))
			sent <- errors.Join(err, conn.CloseWrite())
		}()
		back, err := io.ReadAll(conn)
		must(t, errors.Join(err, <-sent))
		if !bytes.Equal(back, data) {
			t.Errorf("%d bytes came back, and not the %d that went", len(back), len(data))
		}
	})
	t.Run("guest to host", func(t *testing.T) {
		if ch.IsAdapter(v.ping) {
			if got := v.ask("dial 5000"); !strings.HasPrefix(got, "error") {
				t.Errorf("the guest reached the host: %q", got)
			}
			return
		}
		listener, err := net.Listen("unix", v.path("vsock_5000"))
		must(t, err)
		defer listener.Close()
		answered := make(chan error, 1)
		go func() {
			conn, err := listener.Accept()
			if err == nil {
				_, err = io.WriteString(conn, "from the host\n")
				err = errors.Join(err, conn.Close())
			}
			answered <- err
		}()
		if got := v.ask("dial 5000"); got != "from the host" {
			t.Errorf("the guest read %q", got)
		}
		must(t, <-answered)
		if got := v.ask("dial 5001"); !strings.HasPrefix(got, "error") {
			t.Errorf("a port without listener: %q", got)
		}
	})
}

func testHotplug(t *testing.T, s Server) {
	v := s.start(t)
	v.boot(v.config(s.Guest, v.disk("root", 1<<20)))
	v.ask("boot-id")
	data := v.disk("data", 64<<20)
	for round := 1; round <= 2; round++ {
		info, err := v.client.AddDisk(t.Context(), data)
		must(t, err)
		if info == nil || info.Id != "data" || len(info.Bdf) != len("0000:00:04.0") {
			t.Fatalf("add gave %+v", info)
		}
		v.askUntil("67108864", "size data")
		v.activated("data")
		if _, err := v.client.AddDisk(t.Context(), data); !ch.IsDuplicateID(err) {
			t.Errorf("the same id once more: %v", err)
		}
		if got := v.ask("write data round%d", round); got != "ok" {
			t.Errorf("write: %s", got)
		}
		must(t, v.client.RemoveDevice(t.Context(), "data"))
		e := v.await("vm", "device-removed", round)
		if e.Properties["id"] != "data" || e.Properties["bdf"] != info.Bdf {
			t.Errorf("event %+v, added at %s", e, info.Bdf)
		}
		v.askUntil("error: no disk data", "size data")
		err = v.client.RemoveDevice(t.Context(), "data")
		if !ch.IsUnknownDevice(err) {
			t.Errorf("second remove: %v", err)
		}
		// The file is free again: it can be locked by others.
		f, err := os.OpenFile(*data.Path, os.O_RDWR, 0)
		must(t, err)
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK}); err != nil {
			t.Errorf("lock after the removal: %v", err)
		}
		f.Close()
		text, err := os.ReadFile(*data.Path)
		must(t, err)
		if !bytes.Contains(text[:512], fmt.Appendf(nil, "round%d", round)) {
			t.Errorf("round %d is not in the file", round)
		}
	}
	if err := v.client.RemoveDevice(t.Context(), "none"); !ch.IsUnknownDevice(err) {
		t.Errorf("remove of an unknown device: %v", err)
	}
	_, err := v.client.AddDisk(t.Context(), ch.DiskConfig{Path: new("/nowhere"), ImageType: new(ch.ImageRaw)})
	if !ch.IsMissingFile(err) {
		t.Errorf("add of a missing file: %v", err)
	}
	long := v.disk("long", 1<<20)
	long.Serial = new("123456789012345678901")
	if _, err := v.client.AddDisk(t.Context(), long); !ch.IsConfigInvalid(err) {
		t.Errorf("add with a long serial: %v", err)
	}
	if v.state() != ch.Running {
		t.Errorf("state %s", v.state())
	}
}

// activated waits until a device was told of that came while the VM runs.
func (v *vmm) activated(id string) {
	v.t.Helper()
	for n := 1; v.await("virtio-device", "activated", n).Properties["id"] != id; n++ {
	}
}

func testLocks(t *testing.T, s Server) {
	one, two := s.start(t), s.start(t)
	shared := one.disk("shared", 1<<20)
	reader := shared
	reader.Readonly = new(true)
	boot := func(v *vmm, d ...ch.DiskConfig) error {
		must(t, v.client.Delete(t.Context()))
		must(t, v.client.Create(t.Context(), v.config(s.Guest, d...)))
		return v.client.Boot(t.Context())
	}
	must(t, boot(one, reader))
	if err := boot(two, reader); err != nil {
		t.Errorf("two readers: %v", err)
	}
	for name, x := range map[string]struct{ first, second ch.DiskConfig }{
		"writer after reader": {reader, shared},
		"reader after writer": {shared, reader},
		"writer after writer": {shared, shared},
	} {
		must(t, two.client.Delete(t.Context()))
		must(t, boot(one, x.first))
		err := boot(two, x.second)
		word := "Write"
		if deref(x.second.Readonly) {
			word = "Read"
		}
		t.Run(name, func(t *testing.T) {
			chainEnds(t, err, 500, "Error locking disk images: Another instance likely holds a lock", "Cannot lock images of all block devices",
				"Failed to get "+word+" lock for disk image: "+*shared.Path, "The file is already locked")
			if !ch.IsLocked(err) {
				t.Errorf("not classified: %v", err)
			}
			if err := two.client.Boot(t.Context()); !ch.IsAlreadyCreated(err) {
				t.Errorf("second boot: %v", err)
			}
		})
	}
	again := shared
	again.Id, again.Serial = new("again"), new("again")
	if err := boot(two, again); !ch.IsLocked(err) {
		t.Errorf("held by the other: %v", err)
	}
	must(t, one.client.Delete(t.Context()))
	if err := boot(two, shared, again); !ch.IsLocked(err) {
		t.Errorf("twice in one VM: %v", err)
	}
	must(t, two.client.Delete(t.Context())) // the failed boot holds the first of them
	// A lease, which is a flock, is in nobody's way.
	f, err := os.Open(*shared.Path)
	must(t, err)
	defer f.Close()
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX))
	must(t, boot(one, shared))
	_, err = one.client.AddDisk(t.Context(), again)
	if !ch.IsLocked(err) {
		t.Errorf("hot add of a held disk: %v", err)
	}
}

func testDiskContent(t *testing.T, s Server) {
	v := s.start(t)
	root, ro := v.disk("root", 1<<20), v.disk("ro", 1<<20)
	ro.Readonly = new(true)
	v.boot(v.config(s.Guest, root, ro))
	if got := v.ask("write root sector-zero"); got != "ok" {
		t.Errorf("write to the first sector: %s", got)
	}
	if got := v.ask("read root"); got != "sector-zero" {
		t.Errorf("read: %q", got)
	}
	if got := v.ask("write ro x"); !strings.HasPrefix(got, "error") {
		t.Errorf("write to a read-only disk: %q", got)
	}
	// What the guest has synced is in the file, whatever happens to the VMM.
	must(t, v.cmd.Process.Kill())
	<-v.exited
	f, err := os.Open(*root.Path)
	must(t, err)
	defer f.Close()
	line := make([]byte, 15)
	_, err = io.ReadFull(bufio.NewReader(f), line)
	must(t, err)
	if string(line[4:]) != "sector-zero" {
		t.Errorf("the file holds %q", line)
	}
}

func testResize(t *testing.T, s Server) {
	v := s.start(t)
	v.boot(v.config(s.Guest, v.disk("root", 1<<20)))
	v.askUntil("1048576", "size root")
	must(t, v.client.ResizeDisk(t.Context(), "root", 4<<20))
	v.askUntil("4194304", "size root")
	if info, err := os.Stat(v.path("root")); err != nil || info.Size() != 4<<20 {
		t.Errorf("the file: %v, %v", info, err)
	}
	chainEnds(t, v.client.ResizeDisk(t.Context(), "root", 4<<20+1), 500, "Disk image size is not a multiple of 512")
	must(t, v.client.Resize(t.Context(), ch.VmResize{}))
	chainEnds(t, v.client.Resize(t.Context(), ch.VmResize{DesiredBalloon: new(uint64(1 << 20))}), 500, "Missing virtio-balloon, can't proceed as expected")
	if err := v.client.NMI(t.Context()); err != nil {
		t.Errorf("nmi: %v", err)
	}
}

func testSnapshot(t *testing.T, s Server) {
	v := s.start(t)
	v.boot(v.config(s.Guest))
	boot := v.ask("boot-id")
	chainEnds(t, v.client.Snapshot(t.Context(), "file://"+v.dir), 500, "Cannot snapshot VM", "Failed to snapshot migratable component", "Trying to snapshot while VM is running")
	must(t, v.client.Pause(t.Context()))
	must(t, os.Mkdir(v.path("shot"), 0o700))
	err := v.client.Snapshot(t.Context(), "file://"+v.path("shot"))
	if ch.IsAdapter(v.ping) && !supports(v.ping, ch.FeatureSnapshot) {
		if !ch.IsUnsupported(err) {
			t.Errorf("snapshot: %v", err)
		}
		return
	}
	must(t, err)
	if err := v.client.Snapshot(t.Context(), "file://"+v.path("shot")); err == nil {
		t.Error("a second snapshot into one directory")
	}
	if err := v.client.Snapshot(t.Context(), "file://"+v.path("none")); err == nil {
		t.Error("a snapshot into a missing directory")
	}
	must(t, v.client.Delete(t.Context()))
	must(t, v.client.Restore(t.Context(), ch.RestoreConfig{SourceUrl: "file://" + v.path("shot"), Resume: new(true)}))
	if v.state() != ch.Running {
		t.Errorf("state %s after restore", v.state())
	}
	if again := v.ask("boot-id"); again != boot {
		t.Errorf("boot %q after restore, %q before", again, boot)
	}
}

func supports(p ch.Ping, feature string) bool {
	for _, f := range p.Features {
		if f == feature {
			return true
		}
	}
	return false
}
