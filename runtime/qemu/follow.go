package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// follow turns what one QEMU tells into states and events, to its end. It has a goroutine for each instance.
func (v *vmm) follow(m *instance) {
	for {
		e, ok := m.qmp.event()
		if !ok {
			break
		}
		v.mu.Lock()
		if v.instance == m {
			v.handle(m, e)
		}
		v.mu.Unlock()
	}
	<-m.process.exited
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.instance != m {
		return // it was ended on purpose
	}
	if !m.poweredOff {
		v.logf("QEMU ended by itself: %s", m.process.reason())
		v.drop() // and no word of a shutdown, which nobody asked for
		v.end(1)
		return
	}
	if !v.noShutdown {
		v.end(0)
		return
	}
	if err := v.shutdown(); err != nil {
		v.logf("after the guest powered off: %v", err)
	}
}

// handle is called with the state locked.
func (v *vmm) handle(m *instance, e qmpEvent) {
	switch e.Event {
	case "RESET":
		var data struct {
			Guest bool `json:"guest"`
		}
		if json.Unmarshal(e.Data, &data) == nil && data.Guest {
			v.guestReset(m)
		}
	case "SHUTDOWN":
		var data struct {
			Reason string `json:"reason"`
		}
		if json.Unmarshal(e.Data, &data) == nil && data.Reason == "guest-shutdown" {
			m.poweredOff = true
		}
	case "GUEST_PANICKED":
		v.monitor.emit("guest", "panic", map[string]string{"event": "panic"})
	case "GUEST_CRASHLOADED":
		v.monitor.emit("guest", "panic", map[string]string{"event": "crash_loaded"})
	case "BLOCK_IO_ERROR":
		v.ioError(m, e.Data)
	case "DEVICE_DELETED":
		var data struct {
			Device string `json:"device"`
		}
		if json.Unmarshal(e.Data, &data) == nil && data.Device != "" {
			v.ejected(m, data.Device)
		}
	}
}

// resetWindow is how far apart the resets of one reboot may be. QEMU's own firmware resets once more, or more
// often; qboot does not, and no kernel comes up in that time.
const resetWindow = 300 * time.Millisecond

// guestReset follows the guest's own reboot, which stays in the process: connections are dropped, the vsock
// socket is bound again, and the agent of the new boot finds a fresh channel.
func (v *vmm) guestReset(m *instance) {
	again := time.Since(m.lastReset) < resetWindow
	m.lastReset = time.Now()
	if again {
		return
	}
	v.monitor.emit("vm", "rebooting", nil)
	if err := v.freshen(m); err != nil {
		v.logf("after the guest's reset: %v", err)
		v.end(1)
		return
	}
	v.monitor.emit("vm", "rebooted", nil)
}

// freshen begins with the agent's channel. What the new boot says on the old one is lost, it says it once only, and
// connections over a session that nobody ends would hold the rest up for as long as it takes to boot.
func (v *vmm) freshen(m *instance) error {
	if err := m.reattach(); err != nil {
		return err
	}
	if m.vsock != nil {
		m.vsock.close()
		var err error
		if m.vsock, err = listenVsock(v.config.Vsock.Socket, m.link); err != nil {
			return err
		}
	}
	if v.console != nil {
		if err := v.console.restart(); err != nil {
			return fmt.Errorf("console file: %w", err)
		}
	}
	return nil
}

// relink gives the agent's channel a fresh connection after its session broke without a reset.
func (v *vmm) relink(m *instance) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.instance != m || v.quitting {
		return
	}
	if err := m.reattach(); err != nil && !errors.Is(err, errQMPClosed) {
		v.logf("reconnect the agent's channel: %v", err)
	}
}

// reattach puts a new socket pair under the agent's channel. What either side had not read of the old one is
// gone with it.
func (m *instance) reattach() error {
	conn, theirs, err := socketPair("agent")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	_, err = m.qmp.run(ctx, "getfd", map[string]any{"fdname": "agent"}, theirs)
	err = errors.Join(err, theirs.Close())
	if err == nil {
		_, err = m.qmp.run(ctx, "chardev-change", map[string]any{
			"id": "agent",
			"backend": map[string]any{"type": "socket", "data": map[string]any{
				"addr":   map[string]any{"type": "fd", "data": map[string]any{"str": "agent"}},
				"server": false,
			}},
		})
	}
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	m.link.attach(conn)
	return nil
}
