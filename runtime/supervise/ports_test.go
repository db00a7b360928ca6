package supervise

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"microagent/runtime/driver"
	"microagent/runtime/ports"
	"microagent/runtime/supervise/control"
	"microagent/schema/spec"
)

// publishing is a supervisor that has nothing but ports.
func publishing(t *testing.T, declared ...spec.Port) calls {
	t.Helper()
	s := &supervisor{ports: ports.New(slog.New(slog.DiscardHandler), 1<<30), folder: workspace(t), ended: make(chan struct{})}
	s.run.Phase = driver.PhaseReady
	t.Cleanup(s.ports.Close)
	c := calls{s}
	if err := c.Publish(t.Context(), declared); err != nil {
		t.Fatal(err)
	}
	return c
}

func hosts(list []spec.PortState) []uint16 {
	var all []uint16
	for _, p := range list {
		all = append(all, p.Host)
	}
	slices.Sort(all)
	return all
}

func TestPublishFailsWithTheOldPortsInPlace(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	c := publishing(t, spec.Port{Name: "stays", Guest: 80, Auto: true}, spec.Port{Name: "goes", Guest: 81, Auto: true})
	before := hosts(c.ports.State())
	err = c.Publish(t.Context(), []spec.Port{
		{Name: "stays", Guest: 80, Auto: true}, {Name: "new", Guest: 82, Host: netip.MustParseAddrPort(taken.Addr().String()).Port()},
	})
	if !errors.Is(err, driver.ErrBusy) {
		t.Errorf("a port that is taken: %v", err)
	}
	if after := hosts(c.ports.State()); !slices.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
}

func TestRunFileHasThePortsOfARunThatLives(t *testing.T) {
	c := publishing(t, spec.Port{Guest: 80, Count: 3, Auto: true})
	run, err := control.ReadRun(c.folder)
	if err != nil || run == nil || len(run.Ports) != 3 || run.Ports[0].Host == 0 {
		t.Errorf("%+v, %v", run, err)
	}
	if err := c.change(func(r *driver.Run) { r.Phase = driver.PhaseFinished }); err != nil {
		t.Fatal(err)
	}
	if run, err = control.ReadRun(c.folder); err != nil || len(run.Ports) != 0 {
		t.Errorf("after its end: %+v, %v", run, err)
	}
}

func TestForwardEndsWithTheRun(t *testing.T) {
	c := publishing(t)
	err := c.Forward(t.Context(), []spec.Port{{Guest: 80, Auto: true}}, false, func([]spec.Port) error {
		if len(c.ports.State()) != 1 {
			t.Error("it is not published")
		}
		close(c.ended)
		return nil
	})
	if !errors.Is(err, driver.ErrUnavailable) || !strings.Contains(err.Error(), "meanwhile") {
		t.Error(err)
	}
	if list := c.ports.State(); len(list) != 0 {
		t.Errorf("%+v is left", list)
	}
}
