package proto

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"microagent/runtime/driver"
	"microagent/schema/printable"
)

// Code says what kind of error a guest answered.
type Code string

// The codes. A code that this host does not know counts as CodeFailed.
const (
	CodeNotFound    Code = "not_found"
	CodeExists      Code = "exists"
	CodeInvalid     Code = "invalid"
	CodeUnsupported Code = "unsupported"
	CodeTooLarge    Code = "too_large"
	CodeRefused     Code = "refused"
	CodeNoSpace     Code = "no_space"
	CodeFailed      Code = "failed"
)

var codeTable = []struct {
	code Code
	grpc codes.Code
}{
	{CodeFailed, codes.Internal},
	{CodeNotFound, codes.NotFound},
	{CodeExists, codes.AlreadyExists},
	{CodeInvalid, codes.InvalidArgument},
	{CodeUnsupported, codes.Unimplemented},
	{CodeTooLarge, codes.OutOfRange},
	{CodeRefused, codes.FailedPrecondition},
	{CodeNoSpace, codes.ResourceExhausted},
}

// GuestError is an error that the guest answered. Message is the guest's own text.
type GuestError struct {
	Op      string // what the host asked: "configure guest", "fetch /work/out"
	Code    Code
	Message string
}

// Errorf is the error that the agent answers with.
func Errorf(code Code, format string, args ...any) *GuestError {
	return &GuestError{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *GuestError) Error() string {
	if e.Op == "" {
		return e.Message
	}
	return e.Op + ": " + e.Message
}

// Is gives the error the class of its code.
func (e *GuestError) Is(target error) bool {
	for _, row := range codeTable {
		if row.code == e.Code {
			return target == driver.ClassOf(string(row.code))
		}
	}
	return target == driver.ErrGuest
}

// GRPCStatus lets ttrpc carry the code.
func (e *GuestError) GRPCStatus() *status.Status {
	for _, row := range codeTable {
		if row.code == e.Code {
			return status.New(row.grpc, e.Message)
		}
	}
	return status.New(codes.Internal, e.Message)
}

// VersionError says that host and guest speak different major versions.
type VersionError struct {
	Major, Minor uint32 // the guest's
	Build        string
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("guest speaks protocol %d.%d, this microagent speaks %d.%d", e.Major, e.Minor, Major, Minor)
}

// Is makes it of class ErrUnsupported.
func (e *VersionError) Is(target error) bool { return target == driver.ErrUnsupported }

// callError gives the error of a call its operation and class.
func callError(op string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s: %w", op, err)
	}
	if st, ok := status.FromError(err); ok {
		if st.Code() == codes.DeadlineExceeded {
			return fmt.Errorf("%s: %w", op, context.DeadlineExceeded)
		}
		code := CodeFailed
		for _, row := range codeTable {
			if row.grpc == st.Code() {
				code = row.code
			}
		}
		return &GuestError{Op: op, Code: code, Message: said(st.Message())}
	}
	return lost(op, err)
}

// lost says that the connection to the guest broke.
func lost(op string, err error) error {
	return &driver.Error{Class: driver.ErrUnavailable, Op: op, Err: fmt.Errorf("connection to the guest: %w", err)}
}

// maxSaid bounds an error's text, in bytes.
const maxSaid = 1024

// said is what a guest says in an error: one printable line, bounded.
func said(s string) string { return printable.Line(printable.Cut(s, maxSaid)) }

// cut bounds a guest's text and makes it valid UTF-8.
func cut(s string) string {
	if len(s) > MaxText {
		s = s[:MaxText]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
