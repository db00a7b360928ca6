package apply

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/event"
)

// slowImages pull until they are interrupted; with begun closed they are on it.
type slowImages struct {
	driver.Images
	begun chan struct{}
}

func (s slowImages) Pull(ctx context.Context, src driver.ImageSource, _ string, _ driver.Progress) (driver.Image, error) {
	close(s.begun)
	<-ctx.Done()
	return driver.Image{}, &driver.Error{Op: "pull image", Object: src.Ref, Err: ctx.Err()}
}

// sink keeps events; said is sent each note.
type sink struct {
	types chan event.Type
	said  chan string
}

func (s sink) Emit(e event.Event) {
	if e.Type == event.TypeNote {
		s.said <- e.Message
	}
	if e.Type == event.TypeCut || e.Type == event.TypeFailed {
		s.types <- e.Type
	}
}

func newSink() sink { return sink{make(chan event.Type, 99), make(chan string, 99)} }

func TestInterruptedPullIsNoFailure(t *testing.T) {
	b := newBench(t)
	p := b.plan()
	whole := b.drivers.Images
	images := slowImages{whole, make(chan struct{})}
	b.drivers.Images = images
	ctx, interrupt := context.WithCancel(t.Context())
	go func() {
		<-images.begun
		interrupt()
	}()
	events := newSink()
	res, err := Run(ctx, b.drivers, p, b.files, Options{Parallel: 4, Events: events})
	if err != nil {
		t.Fatal(err)
	}
	if len(res.Failed) != 0 || len(res.Cut) != 1 || res.Cut[0].Address.String() != "image/example.org/base:1" {
		t.Errorf("failed %v, cut %v", res.Failed, res.Cut)
	}
	if got := <-events.types; got != event.TypeCut {
		t.Errorf("it was told as %q", got)
	}
	b.drivers.Images = whole
	b.mustApply()
}

// slowStarts boot when they are let, whatever becomes of the context.
type slowStarts struct {
	driver.Runs
	begun, let chan struct{}
}

func (s slowStarts) Start(ctx context.Context, name string, o driver.StartOptions) (driver.Run, error) {
	if name == "demo.counter" {
		close(s.begun)
		<-s.let
	}
	return s.Runs.Start(ctx, name, o)
}

func TestInterruptSaysWhatIsWaitedFor(t *testing.T) {
	b := newBench(t)
	b.write("microagent.yaml", strings.Replace(manifest, "echo 42 > /work/count", "sleep 1000", 1))
	p := b.plan()
	starts := slowStarts{b.drivers.Runs, make(chan struct{}), make(chan struct{})}
	b.drivers.Runs = starts
	ctx, interrupt := context.WithCancel(t.Context())
	events := newSink()
	go func() {
		<-starts.begun
		interrupt()
		if text := <-events.said; !strings.Contains(text, "interrupt again") {
			t.Errorf("it says %q", text)
		}
		close(starts.let)
	}()
	res, err := Run(ctx, b.drivers, p, b.files, Options{Parallel: 4, Events: events})
	if err != nil {
		t.Fatal(err)
	}
	if !res.Interrupted || len(res.Failed) != 0 || !slices.Equal(res.GoesOn, []string{"demo.counter"}) {
		t.Errorf("interrupted %v, failed %v, goes on %v", res.Interrupted, res.Failed, res.GoesOn)
	}
}

// waitedFor frees the project's lock once it is waited for.
type waitedFor struct {
	driver.Projects
	free func(wait time.Duration)
}

func (p waitedFor) Lock(ctx context.Context, project string, wait time.Duration) (func(), error) {
	p.free(wait)
	return p.Projects.Lock(ctx, project, wait)
}

func TestApplyWaitsForTheProject(t *testing.T) {
	b := newBench(t)
	unlock, err := b.drivers.Projects.Lock(t.Context(), "demo", 0)
	if err != nil {
		t.Fatal(err)
	}
	b.drivers.Projects = waitedFor{b.drivers.Projects, func(wait time.Duration) {
		if wait != time.Minute {
			t.Errorf("it waits %v", wait)
		}
		time.AfterFunc(0, unlock)
	}}
	res, err := Run(t.Context(), b.drivers, b.plan(), b.files, Options{LockWait: time.Minute, Events: event.Discard})
	if err != nil || res.Err() != nil {
		t.Fatal(err)
	}
}
