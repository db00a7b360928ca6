package ch

import (
	"context"
	"net/http"
	"time"

	"microagent/ch/api"
)

// Ping says which program answers.
func (c *Client) Ping(ctx context.Context) (Ping, error) {
	var p Ping
	err := c.get(ctx, "vmm.ping", func(ctx context.Context) (*http.Response, error) { return c.api.VmmPing(ctx) }, &p)
	return p, err
}

// ShutdownVMM ends the VM and the process. A server that is gone before its answer came is a success.
func (c *Client) ShutdownVMM(ctx context.Context) error {
	_, sent, err := c.roundTrip(ctx, "vmm.shutdown", c.timeouts.Change, func(ctx context.Context) (*http.Response, error) { return c.api.VmmShutdown(ctx) }, nil)
	if err != nil && sent && isDropped(err) {
		return nil
	}
	return err
}

// Create stores a configuration. It is hardly checked before Boot. After a failure call Delete: some leave the
// configuration stored.
func (c *Client) Create(ctx context.Context, config VmConfig) error {
	_, err := c.change(ctx, "vm.create", c.timeouts.Change, func(ctx context.Context) (*http.Response, error) { return c.api.VmCreate(ctx, config) }, nil, Created)
	return err
}

// Delete stops the VM and forgets its configuration; without one it is a success.
func (c *Client) Delete(ctx context.Context) error {
	return c.bare(ctx, "vm.delete", c.timeouts.Change, func(ctx context.Context) (*http.Response, error) { return c.api.VmDelete(ctx) }, NotCreated)
}

// Boot starts the guest. It is never sent a second time, and must not be: after a failure the VMM may have lost
// its disks. Delete and Create instead.
func (c *Client) Boot(ctx context.Context) error {
	return c.bare(ctx, "vm.boot", c.timeouts.Boot, func(ctx context.Context) (*http.Response, error) { return c.api.VmBoot(ctx) }, Running)
}

// Shutdown stops the guest at once, as pulling the plug does. The configuration stays.
func (c *Client) Shutdown(ctx context.Context) error {
	return c.bare(ctx, "vm.shutdown", c.timeouts.Change, func(ctx context.Context) (*http.Response, error) { return c.api.VmShutdown(ctx) }, Created)
}

// Reboot resets the guest at once.
func (c *Client) Reboot(ctx context.Context) error {
	return c.bare(ctx, "vm.reboot", c.timeouts.Boot, func(ctx context.Context) (*http.Response, error) { return c.api.VmReboot(ctx) })
}

// Pause stops the vCPUs. The guest's clocks stand still until Resume.
func (c *Client) Pause(ctx context.Context) error {
	return c.bare(ctx, "vm.pause", c.timeouts.Pause, func(ctx context.Context) (*http.Response, error) { return c.api.VmPause(ctx) }, Paused)
}

// Resume lets the vCPUs run again.
func (c *Client) Resume(ctx context.Context) error {
	return c.bare(ctx, "vm.resume", c.timeouts.Change, func(ctx context.Context) (*http.Response, error) { return c.api.VmResume(ctx) }, Running)
}

// PowerButton presses the button. Nothing says whether the guest noticed.
func (c *Client) PowerButton(ctx context.Context) error {
	return c.bare(ctx, "vm.power-button", c.timeouts.Change, func(ctx context.Context) (*http.Response, error) { return c.api.VmPowerButton(ctx) })
}

// NMI injects a non-maskable interrupt.
func (c *Client) NMI(ctx context.Context) error {
	return c.bare(ctx, "vm.nmi", c.timeouts.Change, func(ctx context.Context) (*http.Response, error) { return c.api.VmNmi(ctx) })
}

// Info gives the live configuration and the state. Without a configuration it is an error that IsNotCreated
// knows; see State.
func (c *Client) Info(ctx context.Context) (VmInfo, error) {
	var info VmInfo
	err := c.get(ctx, "vm.info", func(ctx context.Context) (*http.Response, error) { return c.api.VmInfo(ctx) }, &info)
	return info, err
}

// Counters gives what the devices counted. A latency is 2^64-1 before the first operation.
func (c *Client) Counters(ctx context.Context) (VmCounters, error) {
	var counters VmCounters
	err := c.get(ctx, "vm.counters", func(ctx context.Context) (*http.Response, error) { return c.api.VmCounters(ctx) }, &counters)
	return counters, err
}

// Resize asks for other vCPUs or memory. Success says that it was asked for.
func (c *Client) Resize(ctx context.Context, r VmResize) error {
	return c.bare(ctx, "vm.resize", c.timeouts.Change, func(ctx context.Context) (*http.Response, error) { return c.api.VmResize(ctx, r) })
}

// ResizeDisk gives the disk called id a size in bytes, a multiple of 512. A smaller one cuts the disk off.
func (c *Client) ResizeDisk(ctx context.Context, id string, size uint64) error {
	return c.bare(ctx, "vm.resize-disk", c.timeouts.Change, func(ctx context.Context) (*http.Response, error) {
		return c.api.VmResizeDisk(ctx, api.VmResizeDisk{Id: id, DesiredSize: size})
	})
}

// AddDisk adds a disk; nil when the VM does not run, so that there is no bus address yet. The guest sees it
// some time later.
func (c *Client) AddDisk(ctx context.Context, d DiskConfig) (*PciDeviceInfo, error) {
	return c.add(ctx, "vm.add-disk", func(ctx context.Context) (*http.Response, error) { return c.api.VmAddDisk(ctx, d) })
}

// RemoveDevice asks the guest to let go of a device. The event vm/device-removed says when it has; until then
// the file stays open and locked, and the id taken.
func (c *Client) RemoveDevice(ctx context.Context, id string) error {
	return c.bare(ctx, "vm.remove-device", c.timeouts.Change, func(ctx context.Context) (*http.Response, error) {
		return c.api.VmRemoveDevice(ctx, api.VmRemoveDevice{Id: id})
	})
}

// Snapshot writes a paused VM into the directory that url ("file:///dir") names. It must exist.
func (c *Client) Snapshot(ctx context.Context, url string) error {
	return c.bare(ctx, "vm.snapshot", c.timeouts.Snapshot, func(ctx context.Context) (*http.Response, error) {
		return c.api.VmSnapshot(ctx, api.VmSnapshotConfig{DestinationUrl: url})
	})
}

// Restore brings a snapshot back into a VMM that has no configuration.
func (c *Client) Restore(ctx context.Context, r RestoreConfig) error {
	return c.bare(ctx, "vm.restore", c.timeouts.Snapshot, func(ctx context.Context) (*http.Response, error) { return c.api.VmRestore(ctx, r) }, Running, Paused)
}

func (c *Client) bare(ctx context.Context, endpoint string, limit time.Duration, send sender, reached ...State) error {
	_, err := c.change(ctx, endpoint, limit, send, nil, reached...)
	return err
}

func (c *Client) add(ctx context.Context, endpoint string, send sender) (*PciDeviceInfo, error) {
	var info PciDeviceInfo
	status, err := c.change(ctx, endpoint, c.timeouts.Change, send, &info)
	if err != nil || status == http.StatusNoContent {
		return nil, err
	}
	return &info, nil
}
