package drivertest

import (
	"testing"

	"microagent/runtime/driver"
)

func TestFakeProjects(t *testing.T) {
	Projects(t, func(*testing.T) driver.Projects { return &FakeProjects{} })
}
