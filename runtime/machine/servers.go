package machine

import (
	"context"
	"fmt"

	"microagent/runtime/listentable"
	"microagent/schema/spec"
)

// Servers reads the kernel's tables.
func (h *Hosts) Servers(ctx context.Context) ([]spec.Port, error) {
	var list []spec.Port
	for _, protocol := range []spec.Protocol{spec.TCP, spec.UDP} {
		sockets, err := listentable.Read("/proc/net", protocol == spec.UDP)
		if err != nil {
			return nil, fmt.Errorf("list ports of the host in use: %w", err)
		}
		for _, s := range sockets {
			list = append(list, spec.Port{Protocol: protocol, Address: s.Address.String(), Host: s.Port})
		}
	}
	return list, ctx.Err()
}
