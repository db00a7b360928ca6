package workspace

import (
	"context"

	"microagent/runtime/driver"
)

// Publish makes the ports of a running workspace those.
func (s *Store) Publish(ctx context.Context, name string, ports []driver.Port) error {
	const op = "publish ports of workspace"
	client, err := s.Running(op, name)
	if err != nil {
		return err
	}
	if err := client.Publish(ctx, ports); err != nil {
		return s.controlError(ctx, op, name, name, err)
	}
	return nil
}

// Permit makes what a running workspace may reach that.
func (s *Store) Permit(ctx context.Context, name string, n *driver.Network) error {
	const op = "change network of workspace"
	client, err := s.Running(op, name)
	if err != nil {
		return err
	}
	if err := client.Permit(ctx, n); err != nil {
		return s.controlError(ctx, op, name, name, err)
	}
	return nil
}

// Forward publishes ports of a running workspace until ctx ends.
func (s *Store) Forward(ctx context.Context, name string, ports []driver.Port, bound func([]driver.Port) error) error {
	const op = "forward to workspace"
	client, err := s.Running(op, name)
	if err != nil {
		return err
	}
	if err := client.Forward(ctx, ports, bound); err != nil {
		return s.controlError(ctx, op, name, name, err)
	}
	return nil
}

// Ports asks the supervisor for the published ports of a running workspace.
func (s *Store) Ports(ctx context.Context, name string) ([]driver.PortState, error) {
	run, err := s.Current(ctx, name)
	return run.Ports, err
}

// Current asks the supervisor.
func (s *Store) Current(ctx context.Context, name string) (driver.Run, error) {
	const op = "show workspace"
	client, err := s.Running(op, name)
	if err != nil {
		return driver.Run{}, err
	}
	run, _, err := client.Status(ctx)
	if err != nil {
		return driver.Run{}, s.controlError(ctx, op, name, name, err)
	}
	return run, nil
}
