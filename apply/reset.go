package apply

import (
	"context"
	"errors"

	"microagent/apply/folder"
	"microagent/runtime/driver"
)

// FreshRoot makes the disk that a reset of a workspace begins with: of its image, which comes in again where it is not in
// the store any more, in the size that its root file system has by now. It gives the disk's key.
func FreshRoot(ctx context.Context, d driver.Set, files *folder.Folder, of driver.WorkspaceSpec, p driver.Progress) (string, error) {
	release, err := d.Images.Use(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	if _, err := d.Images.Get(ctx, of.ImageDigest); errors.Is(err, driver.ErrNotFound) {
		if _, err := d.Images.Pull(ctx, driver.ImageSource{Ref: of.Image, Files: files}, of.ImageDigest, p); err != nil {
			return "", err
		}
	} else if err != nil {
		return "", err
	}
	return unpack(ctx, d, &of, p)
}
