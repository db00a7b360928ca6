package driver

import (
	"context"

	"microagent/schema/spec"
)

// Hosts looks at the host. It starts nothing but `VMM --version`.
type Hosts interface {
	// Observe says what would run a workspace; with vmm unset only what room there is, which takes no program.
	Observe(ctx context.Context, vmm bool) (Host, error)
	// Servers are the ports of this host that programs listen on, each with its address, as the kernel lists them: no
	// socket is opened. A port that is bound and does not listen is not among them.
	Servers(ctx context.Context) ([]spec.Port, error)
}
