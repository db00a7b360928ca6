package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
	"microagent/runtime/supervise/control"
)

// calls is what a supervisor does when it is asked.
type calls struct{ *supervisor }

var _ control.Service = calls{}

func (s calls) Status() driver.Run { return s.snapshot() }

func (s calls) Wait(ctx context.Context) (control.Ended, error) {
	select {
	case <-s.ended:
	case <-ctx.Done():
		return control.Ended{}, ctx.Err()
	}
	run := s.snapshot()
	s.mu.Lock()
	defer s.mu.Unlock()
	return control.Ended{Run: run, Forced: s.forced}, nil
}

func (s calls) Halt(ctx context.Context, grace time.Duration) (control.Ended, error) {
	s.requestStop(stopRequest{grace: grace})
	return s.Wait(ctx)
}

func (s calls) Kill(ctx context.Context) (control.Ended, error) {
	s.requestStop(stopRequest{force: true})
	return s.Wait(ctx)
}

func (s calls) Logs(ctx context.Context, stream string, follow bool, stdout, stderr io.Writer) error {
	emit := func(which byte, data []byte) error {
		w, name := stdout, "stdout"
		if which == 2 {
			w, name = stderr, "stderr"
		}
		if stream != "" && stream != name {
			return nil
		}
		_, err := w.Write(data)
		return err
	}
	if follow {
		return s.output.Follow(ctx, emit)
	}
	ctx, cancel := context.WithCancel(ctx)
	cancel() // what is there now is all of it
	if err := s.output.Follow(ctx, emit); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

func (s calls) Ping(ctx context.Context) error {
	return s.withGuest(ctx, "ask workspace", func(ctx context.Context, session *proto.Session) error { return session.Ping(ctx) })
}

func (s calls) Fetch(ctx context.Context, path string, limit int64, tar io.Writer) error {
	return s.withGuest(ctx, "fetch in workspace", func(ctx context.Context, session *proto.Session) error {
		tree, err := session.Fetch(ctx, path, limit, "")
		if err != nil {
			return err
		}
		defer tree.Close()
		_, err = io.Copy(tar, tree)
		return err
	})
}

func (s calls) Put(ctx context.Context, dir string, tar io.Reader) error {
	return s.withGuest(ctx, "put in workspace", func(ctx context.Context, session *proto.Session) error { return session.Put(ctx, dir, tar) })
}

func (s calls) Stat(ctx context.Context, path string, follow bool) (info control.FileInfo, err error) {
	err = s.withGuest(ctx, "stat in workspace", func(ctx context.Context, session *proto.Session) error {
		i, err := session.Stat(ctx, path, follow)
		info = control.FileInfo{Mode: i.Mode, Size: i.Size, ModTime: i.ModTime, UID: i.UID, GID: i.GID, Target: i.Target}
		return err
	})
	return info, err
}

func (s calls) Sync(ctx context.Context) error {
	return s.withGuest(ctx, "sync in workspace", func(ctx context.Context, session *proto.Session) error { return session.Sync(ctx) })
}

// SetEnv reaches the guest that is there; one that comes later is configured with it.
func (s calls) SetEnv(ctx context.Context, env map[string]string) error {
	err := s.withGuest(ctx, opSetEnv, func(ctx context.Context, session *proto.Session) error {
		if err := s.agentHasEnv(session); err != nil {
			return err
		}
		return session.SetEnv(ctx, env)
	})
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.environment = &env
	return nil
}

const opSetEnv = "change environment of workspace"

// agentHasEnv is the error of a guest that can't take another environment while it runs.
func (s *supervisor) agentHasEnv(session *proto.Session) error {
	if session.Hello().Has(proto.CapEnv) {
		return nil
	}
	return &driver.Error{
		Class: driver.ErrUnsupported, Op: opSetEnv, Object: s.spec.Workspace.Name,
		Err:  errors.New("its guest's agent is older than that, and takes it when it starts"),
		Next: "microagent halt " + s.spec.Workspace.Name,
	}
}

// Grow makes a disk larger, then the file system on it.
func (s calls) Grow(ctx context.Context, volume string, size int64) (grown int64, err error) {
	err = s.withGuest(ctx, "grow in workspace", func(ctx context.Context, session *proto.Session) error {
		grown, err = s.grow(ctx, session, volume, size)
		return err
	})
	return grown, err
}

func (s *supervisor) grow(ctx context.Context, session *proto.Session, volume string, size int64) (int64, error) {
	disk, ok := s.attached().Volume(volume)
	if !ok {
		return 0, &driver.Error{Class: driver.ErrNotFound, Op: "grow", Object: volume, Err: errors.New("it is not attached")}
	}
	has, err := disk.Size()
	if err != nil {
		return 0, err
	}
	if disk.Machine.ReadOnly || size < has {
		return 0, &driver.Error{
			Class: driver.ErrRefused, Op: "grow", Object: volume, Err: fmt.Errorf("it has %d bytes, and can't become %d", has, size),
		}
	}
	if size > has {
		s.mu.Lock()
		vm := s.vm
		s.mu.Unlock()
		if err := vm.Client().ResizeDisk(ctx, disk.Machine.Serial, uint64(size)); err != nil {
			return 0, err
		}
	}
	return session.Grow(ctx, disk.Machine.Serial, size)
}
