package drivertest

import (
	"testing"

	"microagent/runtime/driver"
)

func TestFakeOutputs(t *testing.T) {
	Outputs(t, func(*testing.T) driver.Outputs { return &FakeOutputs{} })
}
