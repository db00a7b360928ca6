// Package chtest is the conformance suite of Cloud Hypervisor's API as microagent relies on it. The same cases run
// against runtime/qemu's adapter and against the real cloud-hypervisor; where a server can't do something the
// suite knows by asking its vmm.ping, never by guessing.
//
// It does not assert what may differ: bus addresses, counters' values, how a request is refused that is no HTTP,
// and which devices a failed boot loses. Only tests import it.
package chtest

import (
	"os/exec"
	"testing"
)

// Server is what the suite is run against.
type Server struct {
	Name string
	// Command makes the server's process, not started, with these arguments of cloud-hypervisor.
	Command func(args ...string) *exec.Cmd
	Guest   Guest
}

// Run runs the whole suite.
func Run(t *testing.T, s Server) {
	for _, c := range []struct {
		name string
		run  func(*testing.T, Server)
	}{
		{"ping", testPing},
		{"states before boot", testBeforeBoot},
		{"requests", testRequests},
		{"refused configurations", testRefused},
		{"failed boots", testFailedBoots},
		{"life", testLife},
		{"pause", testPause},
		{"poweroff", testPoweroff},
		{"no-shutdown", testNoShutdown},
		{"guest reboot", testGuestReboot},
		{"panic", testPanic},
		{"signals", testSignals},
		{"killed", testKilled},
		{"vsock", testVsock},
		{"dial", testDial},
		{"packets", testPackets},
		{"hotplug", testHotplug},
		{"disk locks", testLocks},
		{"disk content", testDiskContent},
		{"discards", testDiscards},
		{"serial socket", testSerialSocket},
		{"resize", testResize},
		{"grow", testGrow},
		{"snapshot", testSnapshot},
		{"copies", testCopies},
	} {
		t.Run(c.name, func(t *testing.T) { c.run(t, s) })
	}
}
