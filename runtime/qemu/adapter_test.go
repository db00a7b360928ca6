package qemu

import (
	"context"
	"os"
	"testing"
)

// The test binary is the adapter when it is told so: exit codes, signals and parent death are then the real ones.
func TestMain(m *testing.M) {
	if os.Getenv("MICROAGENT_TEST_ADAPTER") != "" {
		os.Exit(Main(context.Background(), os.Args[1:], os.Stderr))
	}
	os.Exit(m.Run())
}
