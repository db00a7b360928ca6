package agent

import (
	"bytes"
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/hotplug"
	"microagent/runtime/guest/proto"
)

// tick is the unit of the times in /proc/stat: USER_HZ is 100 on every architecture that Linux tells it to programs.
const tick = time.Second / 100

// sendStats says how much the guest uses now.
func (a *Agent) sendStats(st *proto.Stream) error {
	if err := a.ready(); err != nil {
		return err
	}
	if err := st.Ok(); err != nil {
		return err
	}
	paths := []string{"/"}
	a.mu.Lock()
	for _, m := range a.configured.GetMounts() {
		paths = append(paths, m.GetPath())
	}
	a.mu.Unlock()
	var s proto.Stats
	s.CPUs, _ = hotplug.Kernel.CPUs()
	s.Busy, s.Idle = cpuTimes(kernelText("/proc/stat"))
	s.Load, s.Tasks = loads(kernelText("/proc/loadavg"))
	s.Memory, s.Available = memory(kernelText("/proc/meminfo"))
	for _, path := range paths {
		var fs unix.Statfs_t
		if unix.Statfs(path, &fs) == nil {
			block := fs.Frsize
			if block == 0 {
				block = fs.Bsize
			}
			s.Disks = append(s.Disks, proto.DiskUse{Path: path, Size: int64(fs.Blocks) * block, Used: int64(fs.Blocks-fs.Bfree) * block})
		}
	}
	data, err := json.Marshal(s)
	if err == nil {
		_, err = st.Write(data)
	}
	return err
}

// kernelText is a file of /proc, "" when it can't be read.
func kernelText(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	if !ofKernel(f) {
		return ""
	}
	data, err := wholeOf(f)
	if err != nil {
		return ""
	}
	return string(bytes.ToValidUTF8(data, nil))
}

// cpuTimes are the first line of /proc/stat: user, nice, system, idle, iowait, irq, softirq, steal; those of guests of
// the guest are in user and nice already. See proc_stat(5).
func cpuTimes(text string) (busy, idle time.Duration) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	for i, field := range fields {
		n, err := strconv.ParseInt(field, 10, 64)
		switch {
		case err != nil || i > 8:
		case i == 4 || i == 5:
			idle += time.Duration(n) * tick
		default:
			busy += time.Duration(n) * tick
		}
	}
	return busy, idle
}

// loads are those of /proc/loadavg, and the number of its processes and threads: "0.01 0.02 0.00 1/85 1234".
func loads(text string) (load [3]float64, tasks int) {
	fields := strings.Fields(text)
	for i := range min(len(fields), len(load)) {
		load[i], _ = strconv.ParseFloat(fields[i], 64)
	}
	if len(fields) > 3 {
		_, all, _ := strings.Cut(fields[3], "/")
		tasks, _ = strconv.Atoi(all)
	}
	return load, tasks
}

// memory are two lines of /proc/meminfo, in bytes.
func memory(text string) (total, available int64) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		n, _ := strconv.ParseInt(fields[1], 10, 64)
		switch fields[0] {
		case "MemTotal:":
			total = n << 10
		case "MemAvailable:":
			available = n << 10
		}
	}
	return total, available
}
