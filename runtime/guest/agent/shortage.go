package agent

import (
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// shortage knows which processes the kernel killed because the guest was out of memory. The kernel counts each in
// oom_kill of /proc/vmstat before it sends the signal, and names it in its log after that (mm/oom_kill.c,
// __oom_kill_process): the count says whether there is a name still to come.
type shortage struct {
	said    func() []string // what the kernel logged since the last call
	await   func(most time.Duration)
	counted func() int // by the kernel, since it was booted
	delay   time.Duration

	mu      sync.Mutex
	unnamed int // of those counted, how many the log will not name
	named   int // how many it has named
	kills   []oomKill
}

// oomKill is one process that was killed and of which nobody has told yet.
type oomKill struct {
	nth  int // how many were named before it
	pid  int
	name string
}

// keptKills bounds how many are remembered.
const keptKills = 64

// oomDelay is how long the kernel may take to name what it has counted. It needs microseconds.
const oomDelay = time.Second

func watchShortage() *shortage {
	log := ListenToKernel()
	s := &shortage{said: log.Said, await: log.await, counted: func() int { return oomKillsOf(kernelText("/proc/vmstat")) }, delay: oomDelay}
	s.unnamed = s.counted()
	return s
}

// mark is a moment: kills after it may be of what is started now.
func (s *shortage) mark() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listen()
	return s.named
}

// killed gives the name of the process that the kernel killed for want of memory, when that is how process pid, which was
// started at a mark, came to its end; else "". A shell passes its child's end by signal 9 on as code 137: then it is the
// newest kill since the mark that is of none of the processes that others started themselves.
func (s *shortage) killed(pid, since int, status syscall.WaitStatus, started func(pid int) bool) string {
	itself := status.Signaled() && status.Signal() == unix.SIGKILL
	if !itself && !(status.Exited() && status.ExitStatus() == 128+int(unix.SIGKILL)) {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.catchUp()
	for i := len(s.kills) - 1; i >= 0 && s.kills[i].nth >= since; i-- {
		k := s.kills[i]
		if itself && k.pid == pid || !itself && k.pid != pid && !started(k.pid) {
			s.kills = append(s.kills[:i], s.kills[i+1:]...)
			return k.name
		}
	}
	return ""
}

// catchUp listens until the log has named as many as were counted.
func (s *shortage) catchUp() {
	counted := s.counted()
	for end := time.Now().Add(s.delay); ; {
		s.listen()
		left := time.Until(end)
		if s.named >= counted-s.unnamed {
			return
		}
		if left <= 0 { // records were lost: nobody waits for them again
			s.unnamed = counted - s.named
			return
		}
		s.await(left)
	}
}

func (s *shortage) listen() {
	for _, line := range s.said() {
		pid, name, all, ok := oomKillIn(line)
		if !ok {
			continue
		}
		if all {
			s.kills = append(s.kills, oomKill{s.named, pid, name})
			s.kills = s.kills[max(0, len(s.kills)-keptKills):]
		}
		s.named++
	}
}

// oomKillIn reads a line of the kernel's log that names a process that it killed: because all of the guest was out of
// memory, or one control group had used up what it may. A process's name may hold anything.
func oomKillIn(line string) (pid int, name string, all, ok bool) {
	why, rest, _ := strings.Cut(line, "Killed process ")
	number, rest, _ := strings.Cut(rest, " (")
	end := strings.LastIndexByte(rest, ')')
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil || end < 0 {
		return 0, "", false, false
	}
	return int(n), rest[:end], !strings.HasPrefix(why, "Memory cgroup"), true
}

// oomKillsOf is the line oom_kill of /proc/vmstat.
func oomKillsOf(text string) int {
	for line := range strings.Lines(text) {
		if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
			n, _ := strconv.Atoi(strings.TrimSpace(count))
			return n
		}
	}
	return 0
}
