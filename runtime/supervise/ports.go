package supervise

import (
	"context"
	"errors"
	"slices"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/ports"
	"microagent/runtime/supervise/control"
	"microagent/schema/spec"
)

// bindPorts binds what is published, before anything is started.
func (s *supervisor) bindPorts() error {
	s.ports = ports.New(s.log, s.spec.Workspace.Memory)
	var err error
	if s.declared, err = s.ports.Publish(s.spec.Workspace.Ports); err == nil {
		_, err = s.ports.Publish(s.spec.Ports)
	}
	if err != nil {
		s.ports.Close()
		return &driver.Error{Op: "start workspace", Object: s.spec.Workspace.Name, Err: err, Next: driver.Next(err)}
	}
	return nil
}

// servePorts lets them be used while a guest is there.
func (s *supervisor) servePorts(ctx context.Context, session *proto.Session) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := s.ports.Serve(ctx, ports.Session(session)); err != nil {
			s.log.Warn("published ports", "error", err)
		}
	}()
	return func() { cancel(); <-done }
}

// agentHasPorts is the error of a guest that could not be reached through the ports that it is to have.
func (s *supervisor) agentHasPorts(session *proto.Session) error {
	if len(s.ports.State()) == 0 || session.Hello().Has(proto.CapDial) {
		return nil
	}
	return &driver.Error{
		Class: driver.ErrUnsupported, Op: "start workspace", Object: s.spec.Workspace.Name,
		Err:  errors.New("its guest's agent is older than published ports"),
		Next: "to build its initramfs anew: microagent kernel install",
	}
}

// Publish keeps those that were published before: a number that was chosen for one stays.
func (s calls) Publish(_ context.Context, want []spec.Port) error {
	s.publishing.Lock()
	defer s.publishing.Unlock()
	var asked []spec.Port
	for _, p := range want {
		if p.Published() {
			asked = append(asked, p.Each()...)
		}
	}
	var keep, gone []spec.Port
	for _, had := range s.declared {
		if i := slices.Index(asked, had.Asked()); i >= 0 {
			keep, asked = append(keep, had), slices.Delete(asked, i, i+1)
		} else {
			gone = append(gone, had)
		}
	}
	s.ports.Withdraw(gone)
	bound, err := s.ports.Publish(asked)
	if err != nil {
		again, backErr := s.ports.Publish(gone)
		s.declared = append(keep, again...)
		return errors.Join(err, backErr)
	}
	s.declared = append(keep, bound...)
	return s.saveRun() // which has their numbers
}

// Forward shows what a user forwards with the published ports. Who waits until it is settled is the supervisor of a peer, whose
// sockets are nobody else's.
func (s calls) Forward(ctx context.Context, list []spec.Port, settled bool, tell func([]spec.Port) error) error {
	publish := s.ports.Publish
	if settled {
		publish = s.ports.Lend
	}
	bound, err := publish(list)
	if err != nil {
		return err
	}
	defer s.ports.Withdraw(bound)
	if settled {
		if err := s.settle(ctx, bound); err != nil {
			return err
		}
	}
	if err := tell(bound); err != nil {
		return err
	}
	select {
	case <-s.ended:
		return control.EndedDuringCall(s.spec.Workspace.Name, s.snapshot())
	case <-ctx.Done():
		return ctx.Err()
	}
}

// settle waits for the guest to say whether it has the servers of ports.
func (s calls) settle(ctx context.Context, bound []spec.Port) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{})
	go func() {
		defer close(over)
		select {
		case <-s.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	err := s.ports.Settle(ctx, bound)
	cancel()
	<-over
	select {
	case <-s.ended:
		return control.EndedDuringCall(s.spec.Workspace.Name, s.snapshot())
	default:
		return err
	}
}
