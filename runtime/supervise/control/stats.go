package control

import (
	"context"

	"microagent/runtime/driver"
)

type statsResult struct {
	outcome
	Use driver.GuestUse `json:"use"`
}

// Stats is what the guest says that it uses now. An error of class ErrUnsupported says that the supervisor or the guest's
// agent is older than the question.
func (c Client) Stats(ctx context.Context) (driver.GuestUse, error) {
	r, err := call[statsResult](ctx, c, exchange{request: c.head(CallStats)})
	return r.Use, err
}
