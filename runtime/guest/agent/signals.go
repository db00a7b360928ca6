package agent

import (
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto"
)

// Real-time signals as C libraries count them: the kernel's first two are the library's own.
const (
	signalRTMin = 34
	signalRTMax = 64
)

// synonyms are names of signal(7) that x/sys does not know.
var synonyms = map[string]string{"CLD": "CHLD", "POLL": "IO", "IOT": "ABRT", "UNUSED": "SYS"}

// parseSignal reads "SIGTERM", "TERM", "15", "SIGRTMIN+3"; "" is SIGTERM.
func parseSignal(s string) (syscall.Signal, error) {
	name := strings.TrimPrefix(strings.ToUpper(s), "SIG")
	switch {
	case name == "":
		return unix.SIGTERM, nil
	case strings.HasPrefix(name, "RTMIN"):
		return realTime(s, signalRTMin, strings.TrimPrefix(name, "RTMIN"))
	case strings.HasPrefix(name, "RTMAX"):
		return realTime(s, signalRTMax, strings.TrimPrefix(name, "RTMAX"))
	}
	if n, err := strconv.Atoi(name); err == nil {
		if n < 1 || n > signalRTMax {
			return 0, proto.Errorf(proto.CodeInvalid, "there is no signal %d", n)
		}
		return syscall.Signal(n), nil
	}
	if same, ok := synonyms[name]; ok {
		name = same
	}
	if sig := unix.SignalNum("SIG" + name); sig != 0 {
		return sig, nil
	}
	return 0, proto.Errorf(proto.CodeInvalid, "there is no signal %q", s)
}

func realTime(s string, base int, offset string) (syscall.Signal, error) {
	n := 0
	if offset != "" {
		var err error
		if n, err = strconv.Atoi(offset); err != nil {
			n = signalRTMax
		}
	}
	if sig := base + n; sig >= signalRTMin && sig <= signalRTMax {
		return syscall.Signal(sig), nil
	}
	return 0, proto.Errorf(proto.CodeInvalid, "there is no signal %q", s)
}
