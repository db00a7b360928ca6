package image

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"testing"

	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"

	"microagent/runtime/driver"
	"microagent/schema/imageref"
)

func TestClassesOfErrors(t *testing.T) {
	hub, _ := imageref.Parse("alpine")
	own, _ := imageref.Parse("reg.example:5000/a")
	file, _ := imageref.Parse("rootfs:x.tar")
	answer := func(code int) error {
		return fmt.Errorf("asked: %w", remoteerrors.ErrUnexpectedStatus{StatusCode: code, Status: http.StatusText(code), RequestURL: "https://mirror.example/v2/x"})
	}
	full := &fs.PathError{Op: "write", Path: "blob", Err: syscall.ENOSPC}
	for name, tc := range map[string]struct {
		err   error
		class error
		text  string // in the message
		next  string
	}{
		"full, pulling":  {registryError("pull", hub, full), driver.ErrNoSpace, "no space", "free some space"},
		"full, reading":  {sourceError("pull", file, full), driver.ErrNoSpace, "no space", "free some space"},
		"full, removing": {storeError("remove", "x", full), driver.ErrNoSpace, "no space", "free some space"},
		"no access":      {sourceError("pull", file, &fs.PathError{Op: "open", Path: "x.tar", Err: syscall.EACCES}), driver.ErrInvalid, "x.tar", "who may read it"},
		"429":            {registryError("pull", hub, answer(429)), driver.ErrUnavailable, "mirror.example has had too many requests", "docker login for"},
		"401 of the hub": {registryError("pull", hub, answer(401)), driver.ErrRefused, "docker.io", "docker login (credentials"},
		"403":            {registryError("pull", own, answer(403)), driver.ErrRefused, "reg.example:5000", "docker login reg.example:5000"},
		"502":            {registryError("pull", own, answer(502)), driver.ErrUnavailable, "reg.example:5000 does not answer", "certs.d/reg.example:5000/hosts.toml"},
		"404":            {registryError("pull", own, fmt.Errorf("x: %w", errdefs.ErrNotFound)), driver.ErrNotFound, "no such image", "correct the name"},
		"no such host": {registryError("pull", own, &url.Error{Op: "Head", URL: "https://reg.example", Err: &net.DNSError{Err: "no such host", Name: "reg.example", IsNotFound: true}}),
			driver.ErrUnavailable, "no such host", "check the network"},
		"plain http": {registryError("pull", own, &url.Error{Op: "Head", URL: "https://reg.example", Err: http.ErrSchemeMismatch}),
			driver.ErrUnavailable, "plain http", "hosts.toml"},
		"no files": {sourceError("pull", file, errNoFiles), driver.ErrInvalid, "nothing opens files", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if !errors.Is(tc.err, tc.class) || !strings.Contains(tc.err.Error(), tc.text) || !strings.Contains(driver.Next(tc.err), tc.next) {
				t.Errorf("got %v (next: %s), want %q with %q (next: %s)", tc.err, driver.Next(tc.err), tc.class, tc.text, tc.next)
			}
		})
	}
}

// TestSourceWithoutFiles asks for a file where nothing can open one.
func TestSourceWithoutFiles(t *testing.T) {
	s, _ := newStore(t)
	for _, name := range []string{"oci:x", "oci-archive:x", "docker-archive:x", "rootfs:x"} {
		if _, err := s.Find(t.Context(), ref(name)); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("Find %s: %v", name, err)
		}
		if _, err := s.Pull(t.Context(), ref(name), "", nil); !errors.Is(err, driver.ErrInvalid) {
			t.Errorf("Pull %s: %v", name, err)
		}
	}
}
