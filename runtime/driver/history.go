package driver

import "context"

// History keeps what happened in each project, a line of JSON each (microagent/runtime/event), the newest 8 MiB. It is
// for reading by people; nothing is decided by it.
type History interface {
	// Record appends line, which has no newline in it. Several processes may do so at once.
	Record(project string, line []byte) error
	// Read gives each line to each, the oldest first; none when nothing was recorded. With follow it goes on with what
	// is recorded later, until ctx ends, which is no error. An error of each ends it and is given back.
	Read(ctx context.Context, project string, follow bool, each func(line []byte) error) error
}
