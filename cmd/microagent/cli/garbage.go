package cli

import (
	"runtime"
	"runtime/debug"
)

// lateGarbage is the GOGC under which the first collection comes at a heap of 16 MiB, and not of 4.
const lateGarbage = 400

// collectLate has the first collection of garbage wait: most commands end before there is enough, and those that read
// thousands of files would begin with many small ones. From the second on all is as usual. What a user says in GOGC stays.
func collectLate(getenv func(string) string) {
	if getenv("GOGC") != "" {
		return
	}
	usual := debug.SetGCPercent(lateGarbage)
	runtime.AddCleanup(new([64]byte), func(usual int) { debug.SetGCPercent(usual) }, usual) // is called by the first
}
