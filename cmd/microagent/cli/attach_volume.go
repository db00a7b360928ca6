package cli

import (
	"context"
	"errors"
	"fmt"
	"os"

	"microagent/runtime/driver"
	"microagent/schema/quantity"
)

// attachVolume finds the volume of a mount, and makes it when its size was given.
func (a *app) attachVolume(ctx context.Context, w *world, m mountFlag) (driver.Volume, error) {
	v, err := a.foundVolume(ctx, w, "attach volume", m.name)
	if err == nil && m.size > 0 && m.size != v.Size {
		return v, &driver.Error{Class: driver.ErrExists, Op: "attach volume", Object: v.Name,
			Err:  fmt.Errorf("it is there already with %s, not %s", quantity.Size(v.Size), quantity.Size(m.size)),
			Next: fmt.Sprintf("leave the size away, or: microagent volume grow %s --size %s", v.Name, quantity.Size(m.size).Text())}
	}
	if !errors.Is(err, driver.ErrNotFound) {
		return v, err
	}
	if _, nameErr := quantity.ParseName(m.name); m.size > 0 && nameErr != nil {
		return v, &driver.Error{Class: driver.ErrInvalid, Op: "create volume", Object: m.name, Err: nameErr}
	}
	if info, statErr := os.Stat(m.name); m.size == 0 && statErr == nil && info.IsDir() {
		return v, &driver.Error{Class: driver.ErrNotFound, Op: "attach volume", Object: m.name,
			Err:  errors.New("there is no volume of that name, and the host directory can't be mounted: a guest sees block devices only"),
			Next: asBundle("./"+m.name, m.path)}
	}
	if m.size == 0 {
		return v, &driver.Error{Class: driver.ErrNotFound, Op: "attach volume", Object: m.name, Err: errors.New("there is none of that name"),
			Next: fmt.Sprintf("give its size here, -v %s:%s:size=512MiB, or make it: microagent volume create %s --size-mib 512", m.name, m.path, m.name)}
	}
	v, _, err = w.Volumes.Create(ctx, driver.VolumeSpec{Name: m.name, Size: m.size})
	return v, err
}
