package supervise

import (
	"context"

	"microagent/runtime/driver"
	"microagent/runtime/guest/proto"
)

// Stats asks the guest. Of the file systems that it tells of those count that the workspace has.
func (s calls) Stats(ctx context.Context) (use driver.GuestUse, err error) {
	err = s.withGuest(ctx, "ask workspace for its use", func(ctx context.Context, session *proto.Session) error {
		got, err := session.Stats(ctx)
		if err != nil {
			return err
		}
		use = driver.GuestUse{CPUs: got.CPUs, Busy: got.Busy, Idle: got.Idle, Load: got.Load, Memory: got.Memory,
			Used: got.Memory - got.Available, Tasks: got.Tasks}
		known := map[string]bool{"/": true}
		for _, m := range s.attached().Mounts() {
			known[m.Path] = true
		}
		for _, d := range got.Disks {
			if known[d.Path] {
				use.Disks = append(use.Disks, driver.FileSystem(d))
				delete(known, d.Path)
			}
		}
		return nil
	})
	return use, err
}
