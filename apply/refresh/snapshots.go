package refresh

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"microagent/apply/folder"
	"microagent/plan"
	"microagent/plan/observed"
	"microagent/runtime/driver"
	"microagent/schema"
)

// snapshots reads those of the volumes of which one is to begin a volume that is not there yet, under every name that such a
// volume may have.
func snapshots(ctx context.Context, d driver.Set, m *schema.Manifest, volumes map[string]observed.Volume) (map[string][]observed.Snapshot, error) {
	out := map[string][]observed.Snapshot{}
	for name, v := range m.Volumes {
		if _, there := volumes[plan.OnDisk(m.Project, name)]; there || v.From.Snapshot == "" {
			continue
		}
		of, _, _ := strings.Cut(v.From.Snapshot, ":")
		for _, disk := range plan.Formerly(m, plan.KindVolume, of) {
			if _, read := out[disk]; read {
				continue
			}
			list, err := d.VolumeData.Snapshots(ctx, disk)
			if err != nil {
				return nil, err
			}
			out[disk] = nil
			for _, s := range list {
				out[disk] = append(out[disk], observed.Snapshot{Tag: s.Tag, Size: s.Size})
			}
		}
	}
	return out, nil
}

// volumeImages looks whether the files can be read that volumes begin with which are not there yet.
func volumeImages(m *schema.Manifest, files *folder.Folder, volumes map[string]observed.Volume) map[string]observed.VolumeImage {
	out := map[string]observed.VolumeImage{}
	for name, v := range m.Volumes {
		if _, there := volumes[plan.OnDisk(m.Project, name)]; there || v.From.Image == "" {
			continue
		}
		var seen observed.VolumeImage
		switch info, err := files.Stat(v.From.Image); {
		case errors.Is(err, fs.ErrNotExist):
			seen.Err, seen.Next = v.From.Image+" does not exist", "put a disk image or a tar there"
		case err != nil:
			seen.Err, seen.Next, seen.Refused = sentence(err)
		case !info.Mode().IsRegular():
			seen.Err, seen.Next = v.From.Image+" is not a regular file", "name a disk image or a tar"
		}
		out[name] = seen
	}
	return out
}
