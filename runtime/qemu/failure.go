package qemu

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"syscall"

	"microagent/ch"
)

// failure is an answer of 400 and above: its chain is the body, outermost first.
type failure struct {
	status int
	chain  []string
}

func (f *failure) Error() string { return strings.Join(f.chain, ": ") }

// titles are the second element of each chain, by endpoint.
var titles = map[string]string{
	"vm.create":        "The VM could not be created",
	"vm.delete":        "The VM could not be deleted",
	"vm.boot":          "The VM could not boot",
	"vm.shutdown":      "The VM could not shutdown",
	"vm.reboot":        "The VM could not reboot",
	"vm.pause":         "The VM could not be paused",
	"vm.resume":        "The VM could not resume",
	"vm.power-button":  "Error triggering power button",
	"vm.nmi":           "Error triggering NMI",
	"vm.info":          "The VM info is not available",
	"vm.counters":      "The VM info is not available",
	"vm.resize":        "The VM could not be resized",
	"vm.resize-disk":   "The disk could not be resized",
	"vm.add-disk":      "The disk could not be added to the VM",
	"vm.add-vsock":     "The vsock device could not be added to the VM",
	"vm.remove-device": "The device could not be removed from the VM",
	"vm.snapshot":      "The VM could not be snapshotted",
	"vm.restore":       "The VM could not be restored",
	"vmm.shutdown":     "The VMM could not shutdown",
}

// Texts that several calls answer with and that clients read.
const (
	textNotCreated     = "VM is not created"
	textMissingConfig  = "VM config is missing"
	textAlreadyCreated = "VM is already created"
	textNotRunning     = "VM is not running"
	textDeviceManager  = "Error from device manager"
	textValidate       = "Failed to validate config"
)

// chain is a reason for a failure: the part of the body that follows the endpoint's title.
type chain []string

func (c chain) Error() string { return strings.Join(c, ": ") }

func because(texts ...string) error { return chain(texts) }

// invalid is the chain of a configuration that is refused.
func invalid(format string, a ...any) error { return because(textValidate, fmt.Sprintf(format, a...)) }

// unsupported is the chain of what the adapter can't do in any state.
func unsupported(what string) error { return because(ch.Unsupported, what) }

// wrap puts texts before the chain of err.
func wrap(err error, texts ...string) error { return append(chain(texts), chainOf(err)...) }

func chainOf(err error) chain {
	if c, ok := errors.AsType[chain](err); ok {
		return c
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return chain{osText(errno)}
	}
	return chain{err.Error()}
}

// osText gives an errno in the words of Cloud Hypervisor's errors.
func osText(errno syscall.Errno) string {
	text := errno.Error()
	return fmt.Sprintf("%s%s (os error %d)", strings.ToUpper(text[:1]), text[1:], int(errno))
}

// fail makes the answer to a call of endpoint that did not succeed.
func fail(endpoint string, err error) *failure {
	c := chainOf(err)
	status := http.StatusInternalServerError
	switch c[len(c)-1] {
	case textNotCreated, textMissingConfig:
		status = http.StatusNotFound
	}
	return &failure{status, append([]string{"Error from API", titles[endpoint]}, c...)}
}
