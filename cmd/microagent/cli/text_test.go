package cli

import (
	"slices"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/schema/spec"
)

func TestCutMount(t *testing.T) {
	for _, c := range []struct {
		in   string
		want mountFlag
		bad  bool
	}{
		{in: "data:/work", want: mountFlag{kind: spec.MountVolume, name: "data", path: "/work"}},
		{in: "counter.data:/work:ro", want: mountFlag{kind: spec.MountVolume, name: "counter.data", path: "/work", readOnly: true}},
		{in: "data:/work:size=1GiB", want: mountFlag{kind: spec.MountVolume, name: "data", path: "/work", size: 1 << 30}},
		{in: "/x/config.tar.gz:/config", want: mountFlag{kind: spec.MountBundle, name: "config", source: "/x/config.tar.gz", path: "/config", readOnly: true}},
		{in: "/a:b/m.ext4:/m:rw", want: mountFlag{kind: spec.MountDisk, name: "m", source: "/a:b/m.ext4", path: "/m"}},
		{in: "/x/config.tar:/config:rw", bad: true},
		{in: "data", bad: true},
		{in: "data:work", bad: true},
		{in: "data:/work:rx", bad: true},
		{in: "/tmp:/tmp", bad: true},
	} {
		got, err := parseVolume(c.in)
		if (err != nil) != c.bad {
			t.Errorf("%s: %v", c.in, err)
		}
		if !c.bad && got != c.want {
			t.Errorf("%s: %+v, want %+v", c.in, got, c.want)
		}
	}
}

func TestReadyWords(t *testing.T) {
	since := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		state driver.ReadyState
		ended bool
		want  string
	}{
		{driver.ReadyWaiting, false, "waiting"},
		{driver.ReadyYes, false, "yes"},
		{driver.ReadyYes, true, "until the run ended"},
		{driver.ReadyWaiting, true, "not before the run ended"},
		{driver.ReadyNever, true, "never came"},
		{driver.ReadyLost, true, "no more"},
	} {
		want := c.want + ", since 2026-01-02T15:04:05Z: port 80"
		if got := readyWords(driver.Readiness{Probe: "port 80", State: c.state, Since: since}, c.ended); got != want {
			t.Errorf("%s, ended %v: %q, want %q", c.state, c.ended, got, want)
		}
	}
}

func TestNetworkCounts(t *testing.T) {
	ws := driver.Workspace{Run: &driver.Run{Network: &driver.NetworkState{Denied: 4, Flows: 2, Dropped: driver.NetworkDrops{Opening: 9, Untaken: 1}}}}
	ws.Spec.Name = "net.web"
	want := [][2]string{
		{"Connections", "2 are open"}, {"Denied", "4 in this run; see: microagent logs --network net.web"},
		{"Dropped", "9 connections, since too many were being opened at once; its kernel tries those again"},
		{"Dropped", "1 datagrams of the guest, which came faster than they were taken"},
	}
	if got := networkCounts(ws); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	ws.Run.Network = &driver.NetworkState{}
	if got := networkCounts(ws); got != nil {
		t.Errorf("nothing happened, and it says %q", got)
	}
}

func TestCommandLine(t *testing.T) {
	long := strings.Repeat("a", 60)
	for _, c := range []struct {
		argv []string
		want string
	}{
		{[]string{"sh", "-c", "true"}, "sh -c true"},
		{[]string{long}, long},
		{[]string{long, "b"}, long + "... (2 bytes more)"},
	} {
		if got := commandLine(c.argv); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
