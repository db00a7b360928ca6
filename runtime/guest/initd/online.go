package initd

import (
	"context"

	"microagent/runtime/guest/hotplug"
)

// Online takes what the VMM has plugged into use.
func (m *system) Online(ctx context.Context, cpus int, memory int64) error {
	return hotplug.Kernel.Online(ctx, cpus, memory)
}
