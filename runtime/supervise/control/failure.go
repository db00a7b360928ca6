package control

import (
	"errors"

	"microagent/runtime/driver"
)

// Failure is an error as it crosses a process boundary: ready line, control protocol.
type Failure struct {
	Class   string     `json:"class,omitempty"` // driver.ClassName
	Op      string     `json:"op,omitempty"`
	Object  string     `json:"object,omitempty"`
	Message string     `json:"message"` // the reason alone when Op is set
	Next    string     `json:"next,omitempty"`
	Crash   *crashWire `json:"crash,omitempty"`
}

// crashWire is a driver.CrashError; its fields go by these names, and all of them.
type crashWire struct {
	Workspace string
	Phase     string
	Reason    string
	Console   []string
	Log       string
}

// FailureOf makes err portable; nil stays nil.
func FailureOf(err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{Class: driver.ClassName(err), Message: err.Error(), Next: driver.Next(err)}
	if e, ok := err.(*driver.Error); ok {
		f.Op, f.Object = e.Op, e.Object
		if e.Err != nil {
			f.Message = e.Err.Error()
		} else if e.Class != nil {
			f.Message = e.Class.Error()
		}
	}
	if crash, ok := errors.AsType[*driver.CrashError](err); ok {
		f.Crash = new(crashWire(*crash))
	}
	return f
}

// Error gives back what FailureOf took: a *driver.CrashError or a *driver.Error. A nil Failure is nil.
func (f *Failure) Error() error {
	if f == nil {
		return nil
	}
	if f.Crash != nil {
		return new(driver.CrashError(*f.Crash))
	}
	e := &driver.Error{Class: driver.ClassOf(f.Class), Op: f.Op, Object: f.Object, Err: errors.New(f.Message), Next: f.Next}
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
