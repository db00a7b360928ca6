package workspace

import (
	"context"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
	"microagent/runtime/network/denial"
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

// SetEnv gives what begins in a running workspace another environment.
func (s *Store) SetEnv(ctx context.Context, name string, env map[string]string) error {
	const op = "change environment of workspace"
	client, err := s.Running(op, name)
	if err != nil {
		return err
	}
	if err := client.SetEnv(ctx, env); err != nil {
		return s.controlError(ctx, op, name, name, err)
	}
	return nil
}

// Mount makes what a running workspace has mounted those.
func (s *Store) Mount(ctx context.Context, name string, mounts []driver.Mount) error {
	const op = "change mounts of workspace"
	client, err := s.Running(op, name)
	if err != nil {
		return err
	}
	if err := client.Mount(ctx, mounts); err != nil {
		return s.controlError(ctx, op, name, name, err)
	}
	return nil
}

// Resize gives a running workspace other CPUs and memory.
func (s *Store) Resize(ctx context.Context, name string, cpus int, memory int64) error {
	const op = "change CPUs and memory of workspace"
	client, err := s.Running(op, name)
	if err != nil {
		return err
	}
	if err := client.ResizeVM(ctx, cpus, memory); err != nil {
		return s.controlError(ctx, op, name, name, err)
	}
	return nil
}

// GrowRoot makes the root file system of a running workspace larger.
func (s *Store) GrowRoot(ctx context.Context, name string, size int64) error {
	const op = "grow root file system of workspace"
	client, err := s.Running(op, name)
	if err != nil {
		return err
	}
	if _, err := client.Grow(ctx, "", size); err != nil {
		return s.controlError(ctx, op, name, name, err)
	}
	return nil
}

// Denials reads what the supervisors of a workspace's runs recorded.
func (s *Store) Denials(_ context.Context, name string) ([]driver.Denial, error) {
	const op = "show what the network of workspace denied"
	if _, err := s.need(op, name); err != nil {
		return nil, err
	}
	list, err := denial.Read(s.State.Workspace(name).File(layout.NetworkLog))
	if err != nil {
		return nil, &driver.Error{Op: op, Object: name, Err: err}
	}
	return list, nil
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
