package driver

import "context"

// Hosts looks at the host. It starts nothing but `VMM --version`.
type Hosts interface {
	Observe(ctx context.Context) (Host, error)
}
