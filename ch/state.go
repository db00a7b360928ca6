package ch

import (
	"context"

	"microagent/ch/api"
)

// State is what a VMM's one VM is doing.
type State string

const (
	NotCreated State = "NotCreated" // the VMM holds no configuration; vm.info answers 404
	Created    State = "Created"    // a configuration is stored; also after vm.shutdown and after a failed vm.boot
	Running    State = "Running"    // the vCPUs run; it does not say that the guest does anything
	Paused     State = "Paused"
)

// State asks vm.info. A VMM without a configuration is NotCreated and no error.
func (c *Client) State(ctx context.Context) (State, error) {
	info, err := c.Info(ctx)
	switch {
	case IsNotCreated(err):
		return NotCreated, nil
	case err != nil:
		return "", err
	case info.State == api.VmStateShutdown:
		return Created, nil
	}
	return State(info.State), nil
}
