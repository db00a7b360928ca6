package qemu

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// faultPause is how long nothing more is told of a disk's errors after one was: a guest that goes on writing to a full
// disk makes thousands a second.
const faultPause = time.Second

// ioError tells of an error of the host's at a guest's request to a disk, as virtio-device io_error. Cloud Hypervisor has
// no such event. What QEMU says: BLOCK_IO_ERROR in qapi/block-core.json.
func (v *vmm) ioError(m *instance, raw json.RawMessage) {
	var data struct {
		Node      string `json:"node-name"`
		Operation string `json:"operation"`
		NoSpace   bool   `json:"nospace"`
		Reason    string `json:"reason"`
	}
	if json.Unmarshal(raw, &data) != nil {
		return
	}
	i := slices.IndexFunc(m.disks, func(d *disk) bool { return d.node() == data.Node })
	if i < 0 || time.Since(m.disks[i].lastFault) < faultPause {
		return
	}
	m.disks[i].lastFault = time.Now()
	// QEMU says nospace only where it would stop the guest for it (blk_iostatus_is_enabled); the reason is strerror's.
	full := data.NoSpace || strings.EqualFold(data.Reason, syscall.ENOSPC.Error())
	v.monitor.emit("virtio-device", "io_error", map[string]string{
		"id": deref(m.disks[i].config.Id), "operation": data.Operation, "nospace": strconv.FormatBool(full), "reason": data.Reason,
	})
}
