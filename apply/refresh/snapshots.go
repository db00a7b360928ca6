package refresh

import (
	"context"
	"strings"

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
