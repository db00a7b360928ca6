package lease

import (
	"context"
	"errors"
	"os/exec"
	"testing"
	"time"
)

func TestProcessIdentity(t *testing.T) {
	self, err := Self()
	if err != nil {
		t.Fatal(err)
	}
	if !self.Alive() {
		t.Error("this process is said to be dead")
	}
	other := self
	other.Start++
	if other.Alive() {
		t.Error("a process with another start time is taken for this one")
	}
	other = self
	other.BootID = "another boot"
	if other.Alive() {
		t.Error("a process of another boot is taken for this one")
	}
	if (Process{}).Alive() {
		t.Error("the zero process is alive")
	}
}

func TestWaitEndsWithTheProcessOrTheContext(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := Find(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := p.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("of a process that lives: %v", err)
	}
	waited := make(chan error, 1)
	go func() { waited <- p.Wait(t.Context()) }()
	in.Close()
	if err := <-waited; err != nil {
		t.Errorf("of a process that ends: %v", err)
	}
	_ = cmd.Wait()
	if err := p.Wait(t.Context()); err != nil {
		t.Errorf("of a process that is gone: %v", err)
	}
}

func TestKillHitsOnlyTheNamedProcess(t *testing.T) {
	cmd := exec.Command("cat")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p, err := Find(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	wrong := p
	wrong.Start++
	if err := wrong.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !p.Alive() {
		t.Fatal("a process with the same pid and another start time was killed")
	}
	if err := p.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p.Alive() {
		t.Error("alive after Kill")
	}
	_ = cmd.Wait()
	if err := p.Kill(t.Context()); err != nil {
		t.Errorf("killing a dead process: %v", err)
	}
}
