package image

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
)

// answers notes what the hosts of a registry said last of each tag and digest: its mirrors, and itself, which is asked
// after them. containerd's library gives one error of them all, and not always the one that counts.
type answers struct {
	mu     sync.Mutex
	hosts  []string           // in the order in which they are asked
	said   map[question]error // nil for an answer that was one
	wrong  map[question]bool  // who gave other bytes than the digest's
	served map[string]string  // the host that gave the bytes of a digest, by digest
}

// question is what a host was asked for: a tag or a digest.
type question struct{ host, what string }

// watch has all that goes to hosts noted.
func (a *answers) watch(hosts []docker.RegistryHost) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.hosts = nil
	for i := range hosts {
		a.hosts = append(a.hosts, hosts[i].Host)
		client := *hosts[i].Client
		next := client.Transport
		if next == nil {
			next = http.DefaultTransport
		}
		client.Transport = &witness{next: next, host: hosts[i].Host, mirror: i < len(hosts)-1, answers: a}
		hosts[i].Client = &client
	}
}

// witness notes the answers of one host, wherever it redirects to.
type witness struct {
	next    http.RoundTripper
	host    string
	mirror  bool
	answers *answers
}

var (
	errWrongBefore = errors.New("it gave other bytes than the digest's")
	errPage        = errors.New("it answered with a web page")
)

func (w *witness) RoundTrip(req *http.Request) (*http.Response, error) {
	first := req
	for first.Response != nil {
		first = first.Response.Request
	}
	q := question{w.host, path.Base(first.URL.Path)}
	if w.answers.isWrong(q) {
		return nil, errWrongBefore
	}
	if w.mirror {
		req = req.WithContext(context.WithValue(req.Context(), impatient{}, true))
	}
	resp, err := w.next.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusOK && isPage(resp) && (w.mirror || path.Base(path.Dir(first.URL.Path)) == "manifests") {
		resp.Body.Close()
		resp, err = nil, errPage
	}
	w.answers.note(q, first, resp, err)
	return resp, err
}

func isPage(resp *http.Response) bool {
	kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	return err == nil && (kind == "text/html" || kind == "application/xhtml+xml")
}

func (a *answers) note(q question, req *http.Request, resp *http.Response, err error) {
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = remoteerrors.ErrUnexpectedStatus{
			Status: resp.Status, StatusCode: resp.StatusCode, RequestURL: req.URL.Redacted(), RequestMethod: req.Method,
		}
		if resp.StatusCode == http.StatusNotFound {
			err = fmt.Errorf("404 Not Found: %w", errdefs.ErrNotFound)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.said == nil {
		a.said, a.served = map[question]error{}, map[string]string{}
	}
	a.said[q] = err
	if err == nil && req.Method == http.MethodGet {
		a.served[q.what] = q.host
	}
}

func (a *answers) isWrong(q question) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.wrong[q]
}

// passOver has the mirror that gave the bytes of a digest asked for it no more; false where there is no mirror to blame.
func (a *answers) passOver(digest string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	q := question{a.served[digest], digest}
	if i := slices.Index(a.hosts, q.host); i < 0 || i == len(a.hosts)-1 || a.wrong[q] {
		return false
	}
	if a.wrong == nil {
		a.wrong = map[question]bool{}
	}
	a.wrong[q] = true
	a.said[q] = errWrongBefore
	return true
}

// mirroredError is the error of a registry that has mirrors.
type mirroredError struct {
	Err     error    // the registry's own, where it was asked
	Mirrors []string // what its mirrors said: "mirror.example: 500 Internal Server Error"
}

func (e *mirroredError) Error() string { return e.Err.Error() + "; " + e.mirrors() }
func (e *mirroredError) Unwrap() error { return e.Err }

func (e *mirroredError) mirrors() string {
	if len(e.Mirrors) == 1 {
		return "its mirror " + e.Mirrors[0]
	}
	return "its mirrors " + strings.Join(e.Mirrors, ", ")
}

// explain says of whom err is, which came of asking for what: the registry's own answer, and what its mirrors said.
func (a *answers) explain(what string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.hosts) < 2 {
		return err
	}
	e := &mirroredError{Err: err}
	for i, host := range a.hosts {
		said, asked := a.said[question{host, what}]
		switch {
		case !asked:
		case i == len(a.hosts)-1:
			if said != nil {
				e.Err = said
			}
		case said == nil:
			e.Mirrors = append(e.Mirrors, host+" gave this")
		default:
			e.Mirrors = append(e.Mirrors, host+": "+answerText(said))
		}
	}
	if len(e.Mirrors) == 0 {
		return e.Err
	}
	return e
}

// answerText is an answer in few words.
func answerText(err error) string {
	if status, ok := errors.AsType[remoteerrors.ErrUnexpectedStatus](err); ok {
		return status.Status
	}
	if errdefs.IsNotFound(err) {
		return "404 Not Found"
	}
	return reason(err).Error()
}
