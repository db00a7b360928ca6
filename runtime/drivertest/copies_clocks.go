package drivertest

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// wallClock looks at what the guest's agent sets when it is configured: without that a copy has the time of the save.
func (c copies) wallClock(t *testing.T) {
	for _, name := range []string{"one", "two"} {
		before := time.Now().Unix()
		guest, err := strconv.ParseInt(c.in(t, name, "date +%s"), 10, 64)
		must(t, err)
		if after := time.Now().Unix(); guest < before-1 || guest > after+1 {
			t.Errorf("%s has the time %d, the host had %d to %d", name, guest, before, after)
		}
	}
}

// monotonic reads the kernel's log, which has lines from before the save and after it. That the later ones have later times is
// the work of what a VMM saves of its clocks: QEMU's section "timer", whose counter every read of the guest's goes by, and
// cloud-hypervisor's "clock" and MSRs. A copy whose VMM begins them anew, or gets others, goes back.
func (c copies) monotonic(t *testing.T) {
	var last float64
	log := c.in(t, "one", "dmesg")
	for line := range strings.Lines(log) {
		_, rest, _ := strings.Cut(line, "[")
		stamp, _, ok := strings.Cut(rest, "]")
		at, err := strconv.ParseFloat(strings.TrimSpace(stamp), 64)
		if !ok || err != nil {
			continue
		}
		if at < last {
			t.Errorf("at %f after %f: %s", at, last, line)
		}
		last = at
	}
	if up := c.uptime(t, "one"); last == 0 || up < last {
		t.Errorf("up for %f s, and the log has a line of %f", up, last)
	}
}

func (c copies) uptime(t *testing.T, name string) float64 {
	t.Helper()
	text, _, _ := strings.Cut(c.in(t, name, "cat /proc/uptime"), " ")
	up, err := strconv.ParseFloat(text, 64)
	must(t, err)
	return up
}

// clockError is how much faster than the host's a guest's clock may go.
const clockError = 1.01

// timers looks for what fires since it is overdue. A copy's clock has to go on from where the saved guest's stood: had it run while
// the template lay there, all that was to come meanwhile would be overdue at once. The remedy is QEMU's own, which stops its
// clocks with the guest, and under cloud-hypervisor holdClock of package machine. And no sleep is too short, and no watchdog
// of the kernel barks.
func (c copies) timers(t *testing.T) {
	up, since := c.uptime(t, "two"), time.Since(c.began["two"]).Seconds()
	if most := c.stood + clockError*since; up > most {
		t.Errorf("up for %f s %f s after its start, of a template whose clock stood at %f at most", up, since, c.stood)
	}
	said := strings.Fields(c.in(t, "two", "cat /proc/uptime; sleep 1; cat /proc/uptime"))
	before, err := strconv.ParseFloat(said[0], 64)
	must(t, err)
	after, err := strconv.ParseFloat(said[2], 64)
	must(t, err)
	if after-before < 0.99 { // the file has hundredths
		t.Errorf("a second took %f s", after-before)
	}
	for line := range strings.Lines(c.in(t, "two", "dmesg")) {
		for _, watchdog := range []string{"lockup", "detected stall", "hung task"} {
			if strings.Contains(line, watchdog) {
				t.Error(line)
			}
		}
	}
}
