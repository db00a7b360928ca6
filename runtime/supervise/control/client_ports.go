package control

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

// Publish makes the run's ports those of its workspace's spec. ErrUnsupported says that an older microagent runs it.
func (c Client) Publish(ctx context.Context, ports []spec.Port) error {
	_, err := call[outcome](ctx, c, exchange{request: portsRequest{header: c.head(CallPublish), Ports: ports}})
	return c.tooOld(err)
}

// Permit makes what the guest may reach that. ErrUnsupported says that an older microagent runs it.
func (c Client) Permit(ctx context.Context, n *spec.Network) error {
	_, err := call[outcome](ctx, c, exchange{request: networkRequest{c.head(CallPermit), n}})
	return c.tooOld(err)
}

// SetEnv gives what begins in the guest from now on another environment. ErrUnsupported says that an older microagent runs it.
func (c Client) SetEnv(ctx context.Context, env map[string]string) error {
	_, err := call[outcome](ctx, c, exchange{request: envRequest{c.head(CallSetEnv), env}})
	return c.tooOld(err)
}

// Mount makes what the guest has mounted those. ErrUnsupported says that an older microagent runs it.
func (c Client) Mount(ctx context.Context, mounts []spec.Mount) error {
	_, err := call[outcome](ctx, c, exchange{request: mountRequest{c.head(CallMount), mounts}})
	return c.tooOld(err)
}

// ResizeVM gives the guest so many CPUs and bytes of memory. ErrUnsupported says that an older microagent runs it, or that it can't
// have them while it runs.
func (c Client) ResizeVM(ctx context.Context, cpus int, memory int64) error {
	_, err := call[outcome](ctx, c, exchange{request: vmRequest{c.head(CallResizeVM), cpus, memory}})
	return c.tooOld(err)
}

// Forward publishes ports until ctx ends, which is no error, or the run does. bound is called once, with the numbers
// that they have.
func (c Client) Forward(ctx context.Context, ports []spec.Port, bound func([]spec.Port) error) error {
	return c.forward(ctx, portsRequest{c.head(CallForward), ports, false}, bound)
}

// ForwardSettled is Forward that calls bound once the guest has said whether it has the servers.
func (c Client) ForwardSettled(ctx context.Context, ports []spec.Port, bound func([]spec.Port) error) error {
	return c.forward(ctx, portsRequest{c.head(CallForward), ports, true}, bound)
}

func (c Client) forward(ctx context.Context, r portsRequest, bound func([]spec.Port) error) error {
	_, err := call[outcome](ctx, c, exchange{request: r, out: boundPorts(bound), leaves: true})
	if ctx.Err() != nil {
		return nil
	}
	return c.tooOld(err)
}

// boundPorts takes the one frame that forward answers by.
type boundPorts func([]spec.Port) error

func (b boundPorts) Write(p []byte) (int, error) {
	var list []spec.Port
	if err := json.Unmarshal(p, &list); err != nil {
		return 0, err
	}
	return len(p), b(list)
}

// tooOld says what to do about a supervisor that does not know a call.
func (c Client) tooOld(err error) error {
	if e, ok := errors.AsType[*driver.Error](err); ok && errors.Is(err, driver.ErrUnsupported) && e.Next == "" {
		e.Next = "an older microagent runs it; to have this one do so: " + restart(filepath.Base(c.Folder.Dir))
	}
	return err
}

// restart is the advice to start a workspace anew.
func restart(workspace string) string {
	return "microagent restart " + workspace
}
