package apply

import (
	"context"

	"microagent/plan"
	"microagent/runtime/driver"
)

func (r *run) pullImage(ctx context.Context, c *plan.Change, p driver.Progress) error {
	if c.Action != plan.ActionPull || c.Image == nil {
		return unknownOperation(c)
	}
	src := driver.ImageSource{Ref: c.Image.Ref, Files: r.files}
	img, err := r.drivers.Images.Pull(ctx, src, c.Image.Digest, p)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images[c.Image.Ref] = img
	r.images[img.Ref] = img
	return nil
}
