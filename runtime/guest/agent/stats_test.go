package agent

import (
	"testing"
	"time"
)

// TestStats asks an agent that runs here: its numbers are this kernel's.
func TestStats(t *testing.T) {
	_, s := workspace(t)
	got, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got.CPUs < 1 || got.Busy <= 0 || got.Idle <= 0 || got.Memory < 64<<20 || got.Available > got.Memory || got.Tasks < 2 {
		t.Errorf("%+v", got)
	}
	if len(got.Disks) != 1 || got.Disks[0].Path != "/" || got.Disks[0].Size <= 0 || got.Disks[0].Used > got.Disks[0].Size {
		t.Errorf("%+v", got.Disks)
	}
}

func TestKernelTexts(t *testing.T) {
	busy, idle := cpuTimes("cpu  100 20 30 400 50 6 7 8 90 90\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
	if busy != 171*tick || idle != 450*tick {
		t.Errorf("%v busy, %v idle", busy, idle)
	}
	if load, tasks := loads("0.50 0.25 0.01 2/85 1234\n"); load != [3]float64{0.5, 0.25, 0.01} || tasks != 85 {
		t.Errorf("%v, %d", load, tasks)
	}
	if total, free := memory("MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable: 600 kB\n"); total != 1000<<10 || free != 600<<10 {
		t.Errorf("%d, %d", total, free)
	}
	for _, junk := range []string{"", "\n", "cpu", "cpu x y", "MemTotal:", "1 2", "a b c d"} {
		cpuTimes(junk)
		loads(junk)
		memory(junk)
	}
	if busy, idle := cpuTimes("cpu -1"); busy+idle > time.Second {
		t.Error(busy, idle)
	}
}
