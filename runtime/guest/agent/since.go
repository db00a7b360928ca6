package agent

import (
	"time"

	"golang.org/x/sys/unix"
)

// instant is a moment on the clock that file systems stamp changes with, CLOCK_REALTIME_COARSE, beside one that nobody
// can set.
type instant struct{ wall, steady time.Duration }

func now() instant { return instant{clock(unix.CLOCK_REALTIME_COARSE), clock(unix.CLOCK_BOOTTIME)} }

func clock(id int32) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(id, &ts); err != nil {
		return 0 // Linux has both
	}
	return time.Duration(ts.Nano())
}

// before says whether a file that was last changed at ctime was so before the instant. When the clock was set back since,
// by us after a sleep of the host or by a process, what came after the instant may bear an earlier time: the instant
// moves back with the clock, so that nothing new is ever taken for old.
func (i instant) before(ctime time.Duration, today instant) bool {
	back := min(0, (today.wall-today.steady)-(i.wall-i.steady))
	return ctime < i.wall+back
}
