package cli

import (
	"context"
	"io"
	"log/slog"
	"os"
	"runtime"

	"microagent/runtime/disk"
	"microagent/runtime/disk/transfer"
	"microagent/runtime/driver"
	"microagent/runtime/image"
	"microagent/runtime/kernel"
	"microagent/runtime/layout"
	"microagent/runtime/lease"
	"microagent/runtime/machine"
	"microagent/runtime/network/dns"
	"microagent/runtime/network/gateway"
	"microagent/runtime/output"
	"microagent/runtime/project"
	"microagent/runtime/qemu"
	"microagent/runtime/supervise"
	"microagent/runtime/template"
	"microagent/runtime/volume"
	"microagent/runtime/workspace"
)

// world is every driver, on one state directory.
type world struct {
	driver.Set
	state   layout.State
	kernels *kernel.Store
	// templates removes those of saved guests that no start here can use, unless dry, and gives them and those that stay.
	templates func(dry bool) (gone, kept []template.Saved, err error)
	doctor    driver.Doctor
	history   driver.History
	// offline copies on disks that no guest has, online through a running guest.
	offline driver.Copier
	online  online
}

// online is what a running guest gives its host besides runs.
type online interface {
	driver.Copier
	// Output is the tree of an output as it is in the guest now. ErrRefused when it does not run.
	Output(ctx context.Context, workspace, output string) (io.ReadCloser, driver.Fetched, error)
}

// open wires the drivers together. This file is the only one that knows which they are. Nothing is read or written
// by it but the state directory's format; with writes set the directory is made. A world that is set already is taken.
func (a *app) open(writes bool) (*world, error) {
	if a.world != nil {
		return a.world, nil
	}
	get := a.readable
	if writes {
		get = a.writable
	}
	state, err := get()
	if err != nil {
		return nil, err
	}
	w := &world{state: state, kernels: kernel.New(state, runtime.GOARCH, a.guest), templates: templatesOf(state)}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	asked := machine.Hosts{Config: a.vmms(), Dir: state.Dir, Kernel: func(context.Context) (string, error) {
		k, err := w.kernels.Default()
		return k.Release, err
	}}
	hosts := asked
	hosts.Config.Versions, hosts.Config.ReadOnly = state.Programs(), true
	images := image.New(image.Config{State: state, Log: a.log(), Tell: func(line string) { a.Say("%s", line) }})
	disks := disk.New(state, images)
	w.doctor = &asked // believes nothing that was noted
	vmms := asked.Config
	vmms.Versions = state.Programs()
	workspaces := &workspace.Store{State: state, Disks: disks, Kernels: w.kernels, VMM: vmms, Tool: Version,
		Supervisor: []string{self, superviseName}, Adapter: []string{self, adapterName}, Gateway: []string{self, gatewayName}}
	w.offline, w.online = transfer.Offline{}, workspace.Online{Store: workspaces}
	projects := project.New(state, Version)
	w.history = projects
	volumes := &volume.Store{State: state, Disks: disks, Tool: Version,
		GrowLive: workspaces.GrowVolume, Frozen: workspaces.FreezeVolume, TrimLive: workspaces.TrimVolume}
	w.Set = driver.Set{
		Images:        images,
		Disks:         disks,
		Volumes:       volumes,
		VolumeData:    volumes,
		VolumeStreams: volumes,
		Workspaces:    workspaces,
		Runs:          workspaces,
		Jobs:          workspaces,
		Projects:      projects,
		Outputs:       output.New(),
		Hosts:         &hosts,
	}
	return w, nil
}

func templatesOf(state layout.State) func(bool) ([]template.Saved, []template.Saved, error) {
	return func(dry bool) (gone, kept []template.Saved, err error) {
		self, err := lease.Self()
		if err != nil {
			return nil, nil, err
		}
		return template.Of(state).Prune(Version, self.BootID, dry)
	}
}

// prepare makes the state directory of a world that was opened to be read, before it is written to.
func (a *app) prepare(w *world) error {
	if w == a.world {
		return nil
	}
	_, err := a.writable()
	return err
}

func (a *app) vmms() machine.Config {
	return machine.Config{VMM: a.flags.vmm, CloudHypervisor: a.Getenv(machine.EnvCloudHypervisor)}
}

// log is where the rooms below log to: stderr with -v, nowhere otherwise.
func (a *app) log() *slog.Logger {
	if !a.Verbose {
		return slog.New(slog.DiscardHandler)
	}
	o := &slog.HandlerOptions{Level: slog.LevelDebug}
	if a.Records() {
		return slog.New(slog.NewJSONHandler(a.Err, o))
	}
	return slog.New(slog.NewTextHandler(a.Err, o))
}

func normalReference(ref string) string { return image.Normal(ref) }

func ofRegistry(ref string) bool { return image.OfRegistry(ref) }

// serveAdapter is the process that serves Cloud Hypervisor's API on top of QEMU.
func serveAdapter(ctx context.Context, args []string) int { return qemu.Main(ctx, args, os.Stderr) }

// Outside is what workspaces with a network reach.
type Outside = gateway.Outside

// resolver is what the names of those are looked up by.
func (a *app) resolver() dns.Resolver {
	if a.outside.Resolver != nil {
		return a.outside.Resolver
	}
	return dns.Host{} // as a gateway
}

// serveGateway is the process through which a workspace reaches what is outside.
func (a *app) serveGateway() int { return gateway.Main(a.outside, a.Err) }

// superviseOne is the process that owns one running workspace.
func (a *app) superviseOne(ctx context.Context) int {
	return supervise.Main(ctx, a.In, a.Err, workspace.Abandoned)
}
