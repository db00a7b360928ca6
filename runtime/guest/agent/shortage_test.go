package agent

import (
	"syscall"
	"testing"
	"time"
)

func TestOOMKillIn(t *testing.T) {
	for line, want := range map[string]struct {
		pid     int
		name    string
		all, ok bool
	}{
		"Out of memory: Killed process 123 (tail) total-vm:1234kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB, UID:0 pgtables:44kB oom_score_adj:0": {123, "tail", true, true},
		"Out of memory (oom_kill_allocating_task): Killed process 7 (a) b) total-vm:1kB, anon-rss:0kB, file-rss:0kB":                               {7, "a) b", true, true},
		"Killed process 7 (tail) total-vm:1kB, anon-rss:0kB, file-rss:0kB, shmem-rss:0kB":                                                          {7, "tail", true, true},
		"Memory cgroup out of memory: Killed process 9 (java) total-vm:1kB, anon-rss:1kB, file-rss:0kB, shmem-rss:0kB":                             {9, "java", false, true},
		"Out of memory: Kill process 3 (tail) score 900 or sacrifice child":                                                                        {},
		"Out of memory: Killed process 7 (Killed process ) total-vm:1kB":                                                                           {7, "Killed process ", true, true},
		"oom_reaper: reaped process 123 (tail), now anon-rss:0kB, file-rss:0kB, shmem-rss:0kB":                                                     {},
	} {
		pid, name, all, ok := oomKillIn(line)
		if ok != want.ok || ok && (pid != want.pid || name != want.name || all != want.all) {
			t.Errorf("%s: %d %q %v %v", line, pid, name, all, ok)
		}
	}
}

func TestKernelLine(t *testing.T) {
	for record, want := range map[string]string{
		"3,42,1234,-;Out of memory: Killed process 1 (a)\n SUBSYSTEM=x\n": "Out of memory: Killed process 1 (a)",
		"11,43,1235,-;Out of memory: Killed process 1 (a)\n":              "", // written by a process
		"no record\n": "",
	} {
		if got, ok := kernelLine(record); got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", record, got, ok)
		}
	}
}

// The ends of a process, as wait(2) has them.
const (
	signal9 = syscall.WaitStatus(9)
	signal6 = syscall.WaitStatus(6)
	code137 = syscall.WaitStatus(137 << 8)
	code1   = syscall.WaitStatus(1 << 8)
)

// kernel is one that kills for want of memory.
type kernel struct {
	counted int
	log     []string
	late    []string // what it logs once it is waited for
	waits   int
}

func (k *kernel) shortage() *shortage {
	return &shortage{
		counted: func() int { return k.counted },
		unnamed: k.counted,
		delay:   10 * time.Millisecond,
		said:    func() []string { said := k.log; k.log = nil; return said },
		await: func(most time.Duration) {
			if k.waits++; len(k.late) == 0 {
				time.Sleep(most)
			}
			k.log, k.late = k.late, nil
		},
	}
}

func (k *kernel) kills(line string) { k.counted++; k.log = append(k.log, line) }

func TestKilledForWantOfMemory(t *testing.T) {
	none := func(int) bool { return false }
	k := &kernel{counted: 5}
	s := k.shortage()
	k.kills("Out of memory: Killed process 20 (earlier) total-vm:1kB")
	since := s.mark()
	check := func(what string, pid int, status syscall.WaitStatus, started func(int) bool, want string) {
		t.Helper()
		if got := s.killed(pid, since, status, started); got != want {
			t.Errorf("%s: %q, want %q", what, got, want)
		}
	}
	check("its number was another's before", 20, signal9, none, "")
	k.kills("Out of memory: Killed process 21 (tail) total-vm:1kB")
	k.kills("Memory cgroup out of memory: Killed process 22 (java) total-vm:1kB")
	check("killed by somebody", 30, signal9, none, "")
	check("another signal", 21, signal6, none, "")
	check("killed for a control group's want", 22, signal9, none, "")
	check("a shell, and the kill is of what another started", 30, code137, func(pid int) bool { return pid == 21 }, "")
	check("killed", 21, signal9, none, "tail")
	check("told of once", 30, code137, none, "")
	k.kills("Out of memory: Killed process 40 (cc1plus) total-vm:1kB")
	check("a shell that ended otherwise", 30, code1, none, "")
	check("a shell whose child it was", 30, code137, none, "cc1plus")
	k.counted, k.late = k.counted+1, []string{"Out of memory: Killed process 50 (late) total-vm:1kB"}
	check("named after it had ended", 50, signal9, none, "late")
	k.counted++
	waits := k.waits
	check("a name that was lost is waited for", 51, signal9, none, "")
	check("and once only", 52, signal9, none, "")
	if k.waits != waits+1 {
		t.Errorf("waited %d times", k.waits-waits)
	}
}

func TestOOMKillsOf(t *testing.T) {
	if n := oomKillsOf("nr_free_pages 12\noom_kill 34\npgmajfault 5\n"); n != 34 {
		t.Error(n)
	}
}
