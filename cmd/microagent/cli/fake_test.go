package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"

	"microagent/cmd/microagent/cli/term"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/kernel"
	"microagent/runtime/layout"
	"microagent/runtime/project"
)

// bench is the commands over fakes, in a folder of its own: nothing boots, and what is kept outlives a command.
type bench struct {
	t          *testing.T
	world      *world
	images     *drivertest.FakeImages
	volumes    *drivertest.FakeVolumes
	workspaces *drivertest.FakeWorkspaces
	hosts      *drivertest.FakeHosts
	copier     *fakeCopier
}

func newBench(t *testing.T) *bench {
	t.Helper()
	t.Chdir(t.TempDir())
	state := layout.State{Dir: t.TempDir()}
	b := &bench{t: t, volumes: &drivertest.FakeVolumes{}, hosts: drivertest.NewFakeHosts(), copier: &fakeCopier{},
		images: &drivertest.FakeImages{Remote: map[string]drivertest.FakeImage{
			"docker.io/library/alpine:3.20": {Config: driver.ImageConfig{Cmd: []string{"sh"}, Env: map[string]string{"PATH": "/bin"}}},
		}}}
	b.workspaces = &drivertest.FakeWorkspaces{Volumes: b.volumes}
	b.world = &world{
		state: state, kernels: kernel.New(state, "amd64", nil), templates: templatesOf(state), doctor: b.hosts, history: project.New(state, Version),
		offline: b.copier, online: b.copier,
		Set: driver.Set{Images: b.images, Disks: &drivertest.FakeDisks{}, Volumes: b.volumes, VolumeData: b.volumes, VolumeStreams: b.volumes, Workspaces: b.workspaces, Runs: b.workspaces, Jobs: b.workspaces,
			Projects: &drivertest.FakeProjects{}, Outputs: &drivertest.FakeOutputs{}, Hosts: b.hosts},
	}
	return b
}

// said is what a command said, and its exit code.
type said struct {
	code        int
	out, stderr string
}

// run runs a command line.
func (b *bench) run(args ...string) said {
	b.t.Helper()
	return b.runContext(b.t.Context(), args...)
}

func (b *bench) runContext(ctx context.Context, args ...string) said {
	b.t.Helper()
	var out, errs bytes.Buffer
	a := &app{Screen: &term.Screen{In: strings.NewReader(""), Out: &out, Err: &errs, Getenv: func(string) string { return "" }}, world: b.world}
	a.outside.Dialer.Connect = func(context.Context, string, netip.AddrPort) (net.Conn, error) { return nil, errors.ErrUnsupported } // nothing is outside
	return said{a.main(ctx, args), out.String(), errs.String()}
}

// fakeCopier says that it copied one file.
type fakeCopier struct{ last driver.CopySpec }

func (f *fakeCopier) CopyIn(_ context.Context, spec driver.CopySpec) (driver.Copied, error) {
	f.last = spec
	return driver.Copied{To: spec.Guest.Path, Files: 1, Bytes: 3}, nil
}

func (f *fakeCopier) CopyOut(_ context.Context, spec driver.CopySpec) (driver.Copied, error) {
	f.last = spec
	return driver.Copied{To: "./got", Files: 1, Bytes: 3}, nil
}

func (f *fakeCopier) Output(context.Context, string, string) (io.ReadCloser, driver.Fetched, error) {
	return nil, driver.Fetched{}, &driver.Error{Class: driver.ErrRefused, Op: "get output", Err: errors.New("it does not run")}
}
