package ch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Error is an answer of 400 and above.
type Error struct {
	Endpoint string   // "vm.boot"
	Status   int      // HTTP status; it moves between versions, the chain's text does not
	Chain    []string // outermost first; nil when the body was empty or no JSON array
	Body     string   // what came instead of a chain, at most 256 bytes
}

// Error gives the endpoint and the chain without its first element, which says "Error from API" always.
func (e *Error) Error() string {
	chain := e.Chain
	if len(chain) > 1 && chain[0] == titleAPI {
		chain = chain[1:]
	}
	why := strings.Join(chain, ": ")
	if why == "" {
		why = e.Body
	}
	if why == "" {
		why = "no reason given"
	}
	return fmt.Sprintf("%s: %s (status %d)", e.Endpoint, why, e.Status)
}

// Reason is what a server said last of why it refused, "" for an error that no server gave.
func Reason(err error) string {
	e, ok := errors.AsType[*Error](err)
	if !ok || len(e.Chain) == 0 {
		return ""
	}
	return e.Chain[len(e.Chain)-1]
}

const titleAPI = "Error from API"

// UnknownOutcomeError says that a change was sent and no answer came: it may have been done or not.
type UnknownOutcomeError struct {
	Endpoint string
	State    State // what vm.info said afterwards; "" when it could not be asked
	Err      error
}

func (e *UnknownOutcomeError) Error() string {
	if e.State != "" {
		return fmt.Sprintf("%s: no answer, outcome unknown, state now %s: %v", e.Endpoint, e.State, e.Err)
	}
	return fmt.Sprintf("%s: no answer, outcome unknown: %v", e.Endpoint, e.Err)
}

func (e *UnknownOutcomeError) Unwrap() error { return e.Err }

// has says whether err is an *Error with a chain element that match accepts.
func has(err error, match func(string) bool) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && slices.ContainsFunc(e.Chain, match)
}

func equals(texts ...string) func(string) bool {
	return func(s string) bool { return slices.Contains(texts, s) }
}

// IsNotCreated says that the VMM holds no configuration.
func IsNotCreated(err error) bool {
	return has(err, equals("VM is not created", "VM config is missing"))
}

// IsAlreadyCreated says that there is a VM already, or a configuration.
func IsAlreadyCreated(err error) bool { return has(err, equals("VM is already created")) }

// IsNotRunning says that the call needs a booted VM.
func IsNotRunning(err error) bool { return has(err, equals("VM is not running")) }

// IsInvalidTransition says that the VM is not in a state from which the call leads anywhere.
func IsInvalidTransition(err error) bool {
	return has(err, func(s string) bool { return strings.HasPrefix(s, "Invalid transition: ") })
}

// IsLocked says that another process holds a disk of the VM.
func IsLocked(err error) bool {
	return has(err, func(s string) bool {
		return s == "The file is already locked" || strings.HasPrefix(s, "Error locking disk images")
	})
}

// IsUnknownDevice says that no device or disk has the given id.
func IsUnknownDevice(err error) bool {
	return has(err, func(s string) bool {
		return strings.HasPrefix(s, "Failed to find device corresponding to the given identifier: ") ||
			strings.HasPrefix(s, `No device with id "`)
	})
}

// IsDuplicateID says that the id is taken, which includes one that the guest has not let go of yet.
func IsDuplicateID(err error) bool {
	return has(err, func(s string) bool {
		return strings.HasPrefix(s, "Invalid identifier as it is not unique: ") ||
			strings.HasPrefix(s, "Identifier ") && strings.HasSuffix(s, " is not unique")
	})
}

// IsConfigInvalid says that the configuration itself is refused, whatever the state.
func IsConfigInvalid(err error) bool {
	return has(err, equals("Failed to validate config", "Failed to deserialize JSON"))
}

// IsMissingFile says that a file which the configuration names does not exist.
func IsMissingFile(err error) bool { return has(err, equals("No such file or directory (os error 2)")) }

// IsAddressInUse says that a socket path is taken, if only by what a killed VMM left.
func IsAddressInUse(err error) bool {
	return has(err, func(s string) bool {
		return strings.HasPrefix(s, "Address ") && strings.HasSuffix(s, "in use (os error 98)")
	})
}

// IsNoFreeSlot says that no further device fits on the guest's bus.
func IsNoFreeSlot(err error) bool {
	return has(err, equals("Failed to find an available PCI device ID"))
}

// IsBusyRemoving says that an earlier removal of a vCPU has not been carried out by the guest yet.
func IsBusyRemoving(err error) bool { return has(err, equals("Too Many Requests")) }

// IsUnsupported says that this server can't do what was asked, in any state.
func IsUnsupported(err error) bool { return has(err, equals(Unsupported)) }

// Unsupported is the last element but one of the adapter's answer to what it can't do.
const Unsupported = "Not supported by this VMM"
