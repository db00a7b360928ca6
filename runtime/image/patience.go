package image

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Bounds of what a registry may make us wait for one image when it has had too many requests.
const (
	silentWait  = 2 * time.Second // where it does not say how long
	longestWait = time.Minute     // for one answer
	allWaits    = 3 * time.Minute
)

// patience asks again, once, what a registry had too many requests for, when the time is over that its Retry-After asks
// for: RFC 9110, section 10.2.3. Requests that are begun before then wait as well. What would take longer than the bounds
// or the context's deadline is a *tooManyError at once.
type patience struct {
	next http.RoundTripper
	*waits
}

// waits are what the requests for one image share.
type waits struct {
	tell func(line string) // nil tells nobody

	mu    sync.Mutex
	until map[string]time.Time // by host
	spent time.Duration
}

// tooManyError says that a registry answered 429 Too Many Requests and will do so for longer than is waited.
type tooManyError struct {
	Host   string
	After  time.Duration // that it asks to wait; 0 where it does not say
	Waited time.Duration // that was waited already
}

func (e *tooManyError) Error() string {
	switch {
	case e.Waited > 0:
		return fmt.Sprintf("429 Too Many Requests, also after waiting %s", e.Waited)
	case e.After > 0:
		return fmt.Sprintf("429 Too Many Requests, to be asked again in %s", e.After)
	}
	return "429 Too Many Requests"
}

// impatient marks the context of a request that another host can be asked for at once.
type impatient struct{}

func (p *patience) RoundTrip(req *http.Request) (*http.Response, error) {
	host := req.URL.Host
	if err := p.sleep(req.Context(), host); err != nil {
		return nil, err
	}
	resp, err := p.next.RoundTrip(req)
	if err != nil || resp.StatusCode != http.StatusTooManyRequests || req.Body != nil {
		return resp, err
	}
	after, said := retryAfter(resp.Header.Get("Retry-After"), time.Now())
	discard(resp)
	hurry := req.Context().Value(impatient{}) != nil
	if hurry || !p.extend(req.Context(), host, after) {
		e := &tooManyError{Host: host}
		if said {
			e.After = after
		}
		return nil, e
	}
	if err := p.sleep(req.Context(), host); err != nil {
		return nil, err
	}
	resp, err = p.next.RoundTrip(req)
	if err == nil && resp.StatusCode == http.StatusTooManyRequests {
		discard(resp)
		return nil, &tooManyError{Host: host, Waited: after}
	}
	return resp, err
}

// extend makes requests to host wait that long, and says so; false where that would be too long.
func (w *waits) extend(ctx context.Context, host string, after time.Duration) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	end := now.Add(after)
	if deadline, ok := ctx.Deadline(); ok && deadline.Before(end) {
		return false
	}
	from := w.until[host]
	if from.Before(now) {
		from = now
	}
	more := max(end.Sub(from), 0)
	if after > longestWait || w.spent+more > allWaits {
		return false
	}
	if more == 0 {
		return true
	}
	w.spent += more
	if w.until == nil {
		w.until = map[string]time.Time{}
	}
	w.until[host] = end
	if w.tell != nil {
		w.tell(fmt.Sprintf("registry %s has had too many requests: asking again in %s", host, after.Round(time.Second)))
	}
	return true
}

// sleep returns when host may be asked.
func (w *waits) sleep(ctx context.Context, host string) error {
	w.mu.Lock()
	left := time.Until(w.until[host])
	w.mu.Unlock()
	if left <= 0 {
		return nil
	}
	timer := time.NewTimer(left)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// retryAfter reads a Retry-After, seconds or a date; said is whether there is one.
func retryAfter(value string, now time.Time) (after time.Duration, said bool) {
	if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(at.Sub(now), 0), true
	}
	return silentWait, false
}

// discard reads the little that an answer has, so that its connection can be used again.
func discard(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	resp.Body.Close()
}
