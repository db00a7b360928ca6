package image

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// busyHost answers 429 as often as it has headers left, and then 200. It notes when it was asked.
type busyHost struct {
	mu      sync.Mutex
	headers []string      // of Retry-After
	until   time.Duration // and before that, with a Retry-After of the rest
	began   time.Time
	asked   []time.Duration
}

func (h *busyHost) RoundTrip(req *http.Request) (*http.Response, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.asked = append(h.asked, time.Since(h.began))
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: req}
	if left := h.until - time.Since(h.began); left > 0 {
		resp.StatusCode = http.StatusTooManyRequests
		resp.Header.Set("Retry-After", strconv.Itoa(int(left/time.Second)))
	} else if len(h.headers) > 0 {
		resp.StatusCode = http.StatusTooManyRequests
		if h.headers[0] != "" {
			resp.Header.Set("Retry-After", h.headers[0])
		}
		h.headers = h.headers[1:]
	}
	return resp, nil
}

func TestRetryAfterIsHonoured(t *testing.T) {
	date := func(after time.Duration) string { return time.Now().Add(after).UTC().Format(http.TimeFormat) }
	for name, c := range map[string]struct {
		headers  func() []string
		deadline time.Duration
		hurry    bool
		asked    []time.Duration
		says     string // to the user
		fails    string
	}{
		"seconds":             {func() []string { return []string{"12"} }, 0, false, []time.Duration{0, 12 * time.Second}, "registry r.example has had too many requests: asking again in 12s", ""},
		"a date":              {func() []string { return []string{date(30 * time.Second)} }, 0, false, []time.Duration{0, 30 * time.Second}, "in 30s", ""},
		"a date that is past": {func() []string { return []string{date(-time.Hour)} }, 0, false, []time.Duration{0, 0}, "", ""},
		"not said":            {func() []string { return []string{""} }, 0, false, []time.Duration{0, silentWait}, "in 2s", ""},
		"nonsense":            {func() []string { return []string{"soon"} }, 0, false, []time.Duration{0, silentWait}, "in 2s", ""},
		"again":               {func() []string { return []string{"5", "5"} }, 0, false, []time.Duration{0, 5 * time.Second}, "in 5s", "also after waiting 5s"},
		"too long":            {func() []string { return []string{"3600"} }, 0, false, []time.Duration{0}, "", "to be asked again in 1h0m0s"},
		"beyond the deadline": {func() []string { return []string{"12"} }, 10 * time.Second, false, []time.Duration{0}, "", "to be asked again in 12s"},
		"another host can":    {func() []string { return []string{"12"} }, 0, true, []time.Duration{0}, "", "to be asked again in 12s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if c.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, c.deadline)
					defer cancel()
				}
				if c.hurry {
					ctx = context.WithValue(ctx, impatient{}, true)
				}
				h := &busyHost{headers: c.headers(), began: time.Now()}
				var said []string
				p := &patience{next: h, waits: &waits{tell: func(line string) { said = append(said, line) }}}
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://r.example/v2/a/manifests/1", nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := p.RoundTrip(req)
				var busy *tooManyError
				switch {
				case c.fails == "" && (err != nil || resp.StatusCode != http.StatusOK):
					t.Errorf("%+v, %v", resp, err)
				case c.fails != "" && (!errors.As(err, &busy) || busy.Host != "r.example" || !strings.Contains(err.Error(), c.fails) || transient(err)):
					t.Errorf("%v", err)
				}
				if len(h.asked) != len(c.asked) {
					t.Fatalf("asked at %v, want %v", h.asked, c.asked)
				}
				for i, want := range c.asked {
					if h.asked[i] != want {
						t.Errorf("asked at %v, want %v", h.asked, c.asked)
					}
				}
				if c.says == "" && len(said) > 0 || c.says != "" && (len(said) != 1 || !strings.Contains(said[0], c.says)) {
					t.Errorf("the user is told %q", said)
				}
			})
		})
	}
}

// What is asked at the same time waits for the same moment, and all that is waited for one image has a bound.
func TestWaitsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &busyHost{until: 10 * time.Second, began: time.Now()}
		var lines int
		w := &waits{tell: func(string) { lines++ }}
		p := &patience{next: h, waits: w}
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://r.example/v2/a/blobs/1", nil)
				if _, err := p.RoundTrip(req); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if took := time.Since(h.began); took != 10*time.Second || lines != 1 {
			t.Errorf("it took %v, with %d lines", took, lines)
		}
		h.headers = []string{"60", "60", "60", "60", "60", "60"}
		var err error
		for range 6 {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://r.example/v2/a/blobs/1", nil)
			if _, failed := p.RoundTrip(req); failed != nil {
				err = failed
			}
		}
		if took := time.Since(h.began); err == nil || took > allWaits {
			t.Errorf("it took %v, %v", took, err)
		}
	})
}

// A wait ends with its context.
func TestAWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		h := &busyHost{headers: []string{"50"}, began: time.Now()}
		p := &patience{next: h, waits: &waits{tell: func(string) { time.AfterFunc(3*time.Second, cancel) }}}
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "https://r.example/v2/a/blobs/1", nil)
		if _, err := p.RoundTrip(req); !errors.Is(err, context.Canceled) || time.Since(h.began) != 3*time.Second {
			t.Errorf("%v after %v", err, time.Since(h.began))
		}
	})
}
