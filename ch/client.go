package ch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"microagent/ch/api"
)

// Timeouts bound the calls by what they make the VMM do. The server handles one call at a time, so each must
// leave room for one that came before. Zero fields take the defaults.
type Timeouts struct {
	Query    time.Duration // ping, info, counters; 10 s
	Change   time.Duration // whatever is not named here; 20 s
	Boot     time.Duration // boot and reboot; 60 s
	Pause    time.Duration // pause waits up to 30 s for requests in flight; 45 s
	Snapshot time.Duration // snapshot and restore; 5 min
}

func (t Timeouts) withDefaults() Timeouts {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{
		{&t.Query, 10 * time.Second}, {&t.Change, 20 * time.Second}, {&t.Boot, time.Minute},
		{&t.Pause, 45 * time.Second}, {&t.Snapshot, 5 * time.Minute},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return t
}

// Client is safe for concurrent use; its calls go out one after the other.
type Client struct {
	api       *api.Client
	transport *http.Transport
	timeouts  Timeouts
}

// New makes a client of the server behind dial. It opens nothing yet.
func New(dial DialFunc, t Timeouts) *Client {
	transport := &http.Transport{
		DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		MaxConnsPerHost:     1,
		MaxIdleConnsPerHost: 1,
		DisableCompression:  true,
	}
	// NewClient fails on a server address that does not parse; this one does.
	generated, err := api.NewClient("http://localhost/api/v1", api.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		panic(err)
	}
	return &Client{api: generated, transport: transport, timeouts: t.withDefaults()}
}

// Close drops the idle connection. The client can still be used.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// maxAnswer bounds what is read of an answer.
const maxAnswer = 16 << 20

type sender func(ctx context.Context) (*http.Response, error)

// roundTrip sends one request and decodes a JSON answer into out when there is one and out is not nil. sent
// says whether the server may have acted although err is not nil.
func (c *Client) roundTrip(ctx context.Context, endpoint string, limit time.Duration, send sender, out any) (status int, sent bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	res, err := send(ctx)
	if err != nil {
		opErr, ok := errors.AsType[*net.OpError](err)
		return 0, !ok || opErr.Op != "dial", fmt.Errorf("%s: %w", endpoint, err)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	closeErr := res.Body.Close()
	if err == nil {
		err = closeErr
	}
	if err != nil {
		return res.StatusCode, true, fmt.Errorf("%s: read the answer: %w", endpoint, err)
	}
	if res.StatusCode >= 300 {
		failure := &Error{Endpoint: endpoint, Status: res.StatusCode}
		if json.Unmarshal(body, &failure.Chain) != nil {
			failure.Chain = nil
			failure.Body = string(body[:min(len(body), 256)])
			// An answer without a chain comes from below the API, where the rest of a request that was not
			// understood is read as further requests: nothing on this connection can be trusted.
			c.transport.CloseIdleConnections()
		}
		return res.StatusCode, false, failure
	}
	if out != nil && res.StatusCode != http.StatusNoContent {
		if err := json.NewDecoder(bytes.NewReader(body)).Decode(out); err != nil {
			return res.StatusCode, true, fmt.Errorf("%s: decode the answer: %w", endpoint, err)
		}
	}
	return res.StatusCode, false, nil
}

// get asks a question. It is asked again when the connection was dropped under it, once.
func (c *Client) get(ctx context.Context, endpoint string, send sender, out any) error {
	_, sent, err := c.roundTrip(ctx, endpoint, c.timeouts.Query, send, out)
	if err != nil && sent && isDropped(err) && ctx.Err() == nil {
		c.transport.CloseIdleConnections()
		_, _, err = c.roundTrip(ctx, endpoint, c.timeouts.Query, send, out)
	}
	return err
}

// change sends a change. When no answer came it asks vm.info: reached says which states mean that it was done.
func (c *Client) change(ctx context.Context, endpoint string, limit time.Duration, send sender, out any, reached ...State) (int, error) {
	status, sent, err := c.roundTrip(ctx, endpoint, limit, send, out)
	if err == nil || !sent {
		return status, err
	}
	unknown := &UnknownOutcomeError{Endpoint: endpoint, Err: err}
	if !isDropped(err) || ctx.Err() != nil {
		return status, unknown
	}
	c.transport.CloseIdleConnections()
	state, stateErr := c.State(ctx)
	if stateErr != nil {
		return status, unknown
	}
	unknown.State = state
	for _, s := range reached {
		if s == state {
			return http.StatusNoContent, nil
		}
	}
	return status, unknown
}

// isDropped says that the connection ended, as opposed to time having run out.
func isDropped(err error) bool {
	var netErr net.Error
	if errors.Is(err, context.Canceled) || errors.As(err, &netErr) && netErr.Timeout() {
		return false
	}
	return true
}
