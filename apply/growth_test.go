package apply

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"microagent/plan"
	"microagent/runtime/driver"
	"microagent/runtime/drivertest"
	"microagent/runtime/event"
)

// TestWalkLooksAtAChangeFewTimes counts how often the walk asks whether a change can begin: asking all that wait whenever
// one ends grows with the square.
func TestWalkLooksAtAChangeFewTimes(t *testing.T) {
	const n = 1000
	p := &plan.Plan{Project: "p"}
	first := plan.Address{Kind: plan.KindVolume, Name: "first"}
	for i := range n {
		c := plan.Change{Address: plan.Address{Kind: plan.KindVolume, Name: fmt.Sprint("v", i)}, Action: plan.ActionCreate, Deps: []plan.Address{first}}
		if i == 0 {
			c.Address, c.Deps = first, nil
		}
		c.Volume = &plan.VolumeObject{Name: "p." + c.Address.Name, Size: 1 << 20}
		p.Changes = append(p.Changes, c)
	}
	r := &run{drivers: driver.Set{Volumes: &drivertest.FakeVolumes{}}, plan: p, events: event.Discard, digests: map[string]string{}}
	if res := r.walk(t.Context(), 4, false); len(res.Done) != n || res.Err() != nil {
		t.Fatalf("%d of %d done, %v", len(res.Done), n, res.Err())
	}
	if r.looked > 3*n {
		t.Errorf("%d changes were looked at %d times", n, r.looked)
	}
}

// counted counts how often all volumes are listed, and one is looked at.
type counted struct {
	driver.Volumes
	lists, gets, creates int
}

func (c *counted) List(ctx context.Context) ([]driver.Volume, error) {
	c.lists++
	return c.Volumes.List(ctx)
}

func (c *counted) Get(ctx context.Context, name string) (driver.Volume, error) {
	c.gets++
	return c.Volumes.Get(ctx, name)
}

func (c *counted) Create(ctx context.Context, spec driver.VolumeSpec) (driver.Volume, bool, error) {
	c.creates++
	return c.Volumes.Create(ctx, spec)
}

// TestApplyGrowsWithItsInput: plan and apply of four times the volumes list the world as often, make four times the calls,
// and take about four times the allocations.
func TestApplyGrowsWithItsInput(t *testing.T) {
	measure := func(n int) (c *counted, allocations float64) {
		b := newBench(t)
		var m strings.Builder
		m.WriteString("project: p\nvolumes:\n")
		for i := range n {
			fmt.Fprintf(&m, "  v%d: {size: 16MiB}\n", i)
		}
		b.write("microagent.yaml", m.String())
		allocations = testing.AllocsPerRun(1, func() {
			c = &counted{Volumes: &drivertest.FakeVolumes{}}
			b.drivers.Volumes = c
			if _, err := Run(t.Context(), b.drivers, b.plan(), b.files, Options{Parallel: 1}); err != nil {
				t.Fatal(err)
			}
		})
		return c, allocations
	}
	few, small := measure(250)
	many, large := measure(1000)
	if few.lists != many.lists || few.gets != 0 || many.gets != 0 || few.creates != 250 || many.creates != 1000 {
		t.Errorf("250 volumes: %+v, 1000: %+v", few, many)
	}
	if large > 5*small {
		t.Errorf("%.0f allocations for 250 volumes, %.0f for 1000", small, large)
	}
}

// countedImages counts how often an image is looked at.
type countedImages struct {
	driver.Images
	gets int
}

func (c *countedImages) Get(ctx context.Context, digest string) (driver.Image, error) {
	c.gets++
	return c.Images.Get(ctx, digest)
}

// TestWorkspacesOfOneImageLookAtItOnce: a store is not read again for each workspace.
func TestWorkspacesOfOneImageLookAtItOnce(t *testing.T) {
	b := newBench(t)
	var m strings.Builder
	m.WriteString("project: p\nworkspaces:\n")
	for i := range 20 {
		fmt.Fprintf(&m, "  w%d: {image: example.org/base:1, desired: stopped}\n", i)
	}
	b.write("microagent.yaml", m.String())
	p := b.plan()
	images := &countedImages{Images: b.drivers.Images}
	d := b.drivers
	d.Images = images
	if res, err := Run(t.Context(), d, p, b.files, Options{Parallel: 1}); err != nil || res.Err() != nil || len(res.NotStarted) > 0 {
		t.Fatalf("%+v, %v", res, err)
	}
	if images.gets > 1 {
		t.Errorf("an image was looked at %d times for 20 workspaces", images.gets)
	}
}
