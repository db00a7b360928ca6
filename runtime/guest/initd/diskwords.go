package initd

import (
	"strings"

	"microagent/runtime/guest/agent"
)

// kernelOf is what ext4 and its journal have said of a device, such as "vdb", since it is listened to.
func kernelOf(log agent.KernelLog, device string) string {
	var said []string
	for _, line := range log.Said() {
		if text, ok := ext4Message(line, device); ok {
			said = append(said, text)
		}
	}
	return strings.Join(said, "; ")
}

// ext4Message gives what a line of the kernel's log says of a device. The journal's own messages name none.
func ext4Message(line, device string) (string, bool) {
	if text, ok := strings.CutPrefix(line, "JBD2: "); ok {
		return text, true
	}
	if !strings.HasPrefix(line, "EXT4-fs") {
		return "", false
	}
	for _, by := range []string{"(" + device + "): ", "(device " + device + "): "} {
		if _, text, ok := strings.Cut(line, by); ok {
			return text, true
		}
	}
	return "", false
}
