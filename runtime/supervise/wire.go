package supervise

import (
	"errors"

	"microagent/runtime/driver"
)

// Failure is an error as it crosses a process boundary: ready line, control protocol.
type Failure struct {
	Class   string             `json:"class,omitempty"` // one of classNames; "" when it has none
	Op      string             `json:"op,omitempty"`
	Object  string             `json:"object,omitempty"`
	Message string             `json:"message"` // the reason alone when Op is set
	Next    string             `json:"next,omitempty"`
	Crash   *driver.CrashError `json:"crash,omitempty"`
}

var classNames = []struct {
	name  string
	class error
}{
	{"not_found", driver.ErrNotFound}, {"exists", driver.ErrExists}, {"busy", driver.ErrBusy}, {"locked", driver.ErrLocked},
	{"refused", driver.ErrRefused}, {"invalid", driver.ErrInvalid}, {"unsupported", driver.ErrUnsupported},
	{"corrupt", driver.ErrCorrupt}, {"unavailable", driver.ErrUnavailable}, {"no_space", driver.ErrNoSpace},
	{"stale", driver.ErrStale}, {"timeout", driver.ErrTimeout}, {"guest", driver.ErrGuest},
}

// failure makes err portable; nil stays nil.
func failure(err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{Message: err.Error(), Next: driver.Next(err)}
	for _, c := range classNames {
		if errors.Is(err, c.class) {
			f.Class = c.name
			break
		}
	}
	if e, ok := err.(*driver.Error); ok {
		f.Op, f.Object = e.Op, e.Object
		if e.Err != nil {
			f.Message = e.Err.Error()
		} else if e.Class != nil {
			f.Message = e.Class.Error()
		}
	}
	if crash, ok := errors.AsType[*driver.CrashError](err); ok {
		f.Crash = crash
	}
	return f
}

// Error gives back what failure took: a *driver.CrashError or a *driver.Error. A nil Failure is nil.
func (f *Failure) Error() error {
	if f == nil {
		return nil
	}
	if f.Crash != nil {
		return f.Crash
	}
	e := &driver.Error{Op: f.Op, Object: f.Object, Err: errors.New(f.Message), Next: f.Next}
	for _, c := range classNames {
		if c.name == f.Class {
			e.Class = c.class
		}
	}
	if e.Op == "" {
		return &plainError{text: f.Message, driver: e}
	}
	return e
}

// plainError shows the text that an error without an operation had, and keeps its class and advice.
type plainError struct {
	text   string
	driver *driver.Error
}

func (e *plainError) Error() string { return e.text }
func (e *plainError) Unwrap() error { return e.driver }
