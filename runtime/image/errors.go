package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"syscall"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"

	"microagent/runtime/driver"
	"microagent/schema/imageref"
)

func invalid(op, ref string, err error) error {
	e := &driver.Error{
		Class: driver.ErrInvalid, Op: op, Object: fmt.Sprintf("%q", ref), Err: err,
		Next: "write NAME[:TAG][@DIGEST], oci:DIR[:NAME], oci-archive:FILE[:NAME], docker-archive:FILE[:NAME] or rootfs:FILE",
	}
	if wrong, ok := errors.AsType[*imageref.Error](err); ok {
		e.Next = wrong.Write
	}
	return e
}

// sourceError is what went wrong with a file source.
func sourceError(op string, r imageref.Reference, err error) error {
	e := &driver.Error{Op: op, Object: r.Name, Err: err}
	inner, _ := errors.AsType[*driver.Error](err)
	_, isPath := errors.AsType[*fs.PathError](err)
	switch {
	case inner != nil:
		e.Next = inner.Next
	case noSpace(err) != nil:
		e.Class, e.Next = driver.ErrNoSpace, driver.NextNoSpace
	case errors.Is(err, fs.ErrNotExist):
		e.Class = driver.ErrInvalid
		e.Err = fmt.Errorf("%s: %w", r.Path, fs.ErrNotExist)
		e.Next = "make the image first, or correct the path"
	case errors.Is(err, io.ErrUnexpectedEOF):
		e.Class = driver.ErrCorrupt
		e.Err = fmt.Errorf("%s is truncated: %w", r.Path, err)
		e.Next = "make or fetch the file again"
	case errors.Is(err, driver.ErrCorrupt):
		e.Err = fmt.Errorf("%s: %w", r.Path, err)
		e.Next = "make or fetch the file again"
	case errors.Is(err, driver.ErrInvalid):
		e.Err = fmt.Errorf("%s: %w", r.Path, err)
		e.Next = "name another file; these are read: oci:DIR, oci-archive:FILE, docker-archive:FILE, rootfs:FILE"
	case isPath:
		e.Class, e.Next = driver.ErrInvalid, "check the path and who may read it"
	}
	return e
}

// storeError is what went wrong with what the store has, or lacks.
func storeError(op, object string, err error) error {
	e := &driver.Error{Op: op, Object: object, Err: err, Class: noSpace(err)}
	switch {
	case e.Class != nil:
		e.Next = driver.NextNoSpace
	case errors.Is(err, driver.ErrNotFound), errors.Is(err, driver.ErrCorrupt):
		e.Next = "pull the image again"
	}
	return e
}

func noSpace(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return driver.ErrNoSpace
	}
	return nil
}

// registryError finds out what a registry's answer, or its silence, means.
func registryError(op string, r imageref.Reference, err error) error {
	e := &driver.Error{Op: op, Object: r.Name, Err: err}
	if inner, ok := errors.AsType[*driver.Error](err); ok {
		e.Next = inner.Next
		return e
	}
	if m, ok := errors.AsType[*mirroredError](err); ok {
		own := registryError(op, r, m.Err)
		if e, ok := own.(*driver.Error); ok {
			e.Err = fmt.Errorf("%w; %s", e.Err, m.mirrors())
			if errors.Is(e, driver.ErrUnavailable) {
				e.Next = "check the network, the registry, and its mirrors in " + hostsFile(r.Host)
			}
		}
		return own
	}
	status, _ := errors.AsType[remoteerrors.ErrUnexpectedStatus](err)
	var busy *tooManyError
	host := r.Host
	if u, err := url.Parse(status.RequestURL); err == nil && u.Host != "" {
		host = u.Host
	}
	switch {
	case errors.Is(err, context.Canceled):
	case noSpace(err) != nil:
		e.Class, e.Next = driver.ErrNoSpace, driver.NextNoSpace
	case errors.Is(err, driver.ErrCorrupt):
		e.Next = "run this again; when it stays so, the registry or something on the way to it is broken"
	case errors.Is(err, driver.ErrUnsupported), errors.Is(err, driver.ErrStale):
	case errors.Is(err, docker.ErrInvalidAuthorization), status.StatusCode == http.StatusUnauthorized,
		status.StatusCode == http.StatusForbidden:
		e.Class = driver.ErrRefused
		e.Err = fmt.Errorf("registry %s does not let us read it, or has no such image: %w", r.Host, err)
		e.Next = "docker login" + loginHost(r.Host) + " (credentials come from docker's configuration), or correct the name"
	case errdefs.IsNotFound(err):
		e.Class = driver.ErrNotFound
		e.Err = fmt.Errorf("registry %s has no such image", r.Host)
		e.Next = "correct the name or the tag"
	case errors.As(err, &busy), status.StatusCode == http.StatusTooManyRequests:
		if e.Err = error(busy); busy == nil {
			e.Err = err
		} else {
			host = busy.Host
		}
		e.Class = driver.ErrUnavailable
		e.Err = fmt.Errorf("registry %s has had too many requests: %w", host, e.Err)
		e.Next = "wait, or docker login" + loginHost(r.Host) + " for a higher limit"
	case status.StatusCode != 0, silent(err):
		e.Class = driver.ErrUnavailable
		e.Err = fmt.Errorf("registry %s does not answer: %w", r.Host, reason(err))
		e.Next = "check the network and the registry; a mirror can be set in " + hostsFile(r.Host)
	}
	return e
}

// hostsFile says where it stands how a registry is reached.
func hostsFile(host string) string {
	return "certs.d/" + host + "/hosts.toml below ~/.config/microagent or /etc/microagent"
}

func loginHost(host string) string {
	if host == "docker.io" {
		return ""
	}
	return " " + host
}

// silent says whether err is of a connection rather than of an answer.
func silent(err error) bool {
	_, isURL := errors.AsType[*url.Error](err)
	_, isNet := errors.AsType[net.Error](err)
	return isURL || isNet || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errdefs.IsUnavailable(err)
}

// reason cuts an HTTP error down to why there was no answer.
func reason(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
		if errors.Is(err, http.ErrSchemeMismatch) {
			return fmt.Errorf("it speaks plain http (%w); allow that in its hosts.toml", err)
		}
	}
	return err
}
