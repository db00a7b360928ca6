package driver

import (
	"errors"
	"fmt"
	"testing"
)

func TestErrorSaysWhatOnWhatAndWhy(t *testing.T) {
	err := &Error{Class: ErrBusy, Op: "delete volume", Object: "data", Err: errors.New("held by run-1"), Next: "halt run-1"}
	if got, want := err.Error(), "delete volume data: held by run-1"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if !errors.Is(err, ErrBusy) || errors.Is(err, ErrNotFound) {
		t.Error("the class is not found by errors.Is")
	}
	bare := &Error{Class: ErrNotFound, Op: "find volume", Object: "data"}
	if got, want := bare.Error(), "find volume data: not found"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestNextIsTheFirstInTheChain(t *testing.T) {
	inner := &Error{Op: "pull image", Object: "x", Next: "check the network"}
	middle := &Error{Op: "create workspace", Object: "w", Err: fmt.Errorf("wrapped: %w", inner)}
	if got := Next(fmt.Errorf("outer: %w", middle)); got != "check the network" {
		t.Errorf("Next = %q", got)
	}
	outer := &Error{Op: "apply", Err: middle, Next: "apply again"}
	if got := Next(outer); got != "apply again" {
		t.Errorf("Next = %q", got)
	}
	if Next(nil) != "" || Next(errors.New("x")) != "" {
		t.Error("Next of an error without one")
	}
}

func TestCrashErrorIsOfClassGuest(t *testing.T) {
	err := fmt.Errorf("start: %w", &CrashError{Workspace: "w", Phase: "boot", Reason: "kernel panic"})
	if !errors.Is(err, ErrGuest) {
		t.Error("a crash is not of class ErrGuest")
	}
}

func TestNextAfterACrash(t *testing.T) {
	crash := Run{Phase: PhaseFailed, Error: "no agent"}.Crash("w")
	if crash.Phase != "boot" || Next(&Error{Op: "start workspace", Err: fmt.Errorf("x: %w", crash)}) != "microagent logs --console w" {
		t.Errorf("%v: next %q", crash, Next(crash))
	}
	if next := Next(&Error{Err: crash, Next: "own"}); next != "own" {
		t.Errorf("an advice of its own gave way to %q", next)
	}
}
