package driver

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"microagent/schema/spec"
)

// Denial is something that a guest asked of its network and was denied: one record, at the first stage that denied it.
// Names come from the guest.
type Denial struct {
	Run      string    `json:"run,omitempty"` // the id of the run
	Time     time.Time `json:"time"`          // of the first
	Stage    string    `json:"stage"`         // dns, answer, tcp, udp, sni or dial
	Protocol string    `json:"protocol,omitempty"`
	Address  string    `json:"address,omitempty"` // of what was to be reached; "" of a question
	Port     uint16    `json:"port,omitempty"`
	Names    []string  `json:"names,omitempty"`  // that were asked for, or that the address was given for
	Server   string    `json:"server,omitempty"` // the name in a TLS handshake
	Rule     string    `json:"rule"`
	Reason   string    `json:"reason"`
	// Count is how often it was denied since the last record of the same, this time counted.
	Count int `json:"count"`
	// Unsaid is how many others were denied since the record before, and have none, for their number.
	Unsaid int `json:"unsaid,omitempty"`
}

// Text says it in a line: "dns evil.example denied by default: no allow rule names evil.example".
func (d Denial) Text() string {
	what := d.Stage
	if d.Server != "" {
		what += " " + d.Server
	} else if len(d.Names) > 0 {
		what += " " + strings.Join(d.Names, ",")
	}
	if d.Address != "" {
		to := d.Address
		if d.Port != 0 {
			to = net.JoinHostPort(d.Address, strconv.Itoa(int(d.Port))) + "/" + d.Protocol
		}
		what += " " + to
	}
	text := fmt.Sprintf("%s denied by %s: %s", what, d.Rule, d.Reason)
	if d.Count > 1 {
		text += fmt.Sprintf(", %d times", d.Count)
	}
	if d.Unsaid > 0 {
		text += fmt.Sprintf("; %d others before it have no record", d.Unsaid)
	}
	return text
}

// NetworkState is what a run's network did so far.
type NetworkState struct {
	// May is what the guest may reach now, nil where that is not known.
	May    *spec.Network `json:"may,omitempty"`
	Denied int           `json:"denied"` // of all that was asked for
	// Last is the newest denial.
	Last *Denial `json:"last,omitempty"`
	// Flows are the connections that are open, those of datagrams among them.
	Flows   int          `json:"flows,omitempty"`
	Dropped NetworkDrops `json:"dropped,omitzero"`
}

// After is s of a run whose network was in another state before it began anew.
func (s NetworkState) After(before NetworkState) NetworkState {
	s.Denied += before.Denied
	s.Last = cmp.Or(s.Last, before.Last)
	s.Dropped.Strange += before.Dropped.Strange
	s.Dropped.Flows += before.Dropped.Flows
	s.Dropped.Opening += before.Dropped.Opening
	s.Dropped.Unread += before.Dropped.Unread
	s.Dropped.Untaken += before.Dropped.Untaken
	return s
}

// NetworkDrops counts what was dropped without a decision about where it leads.
type NetworkDrops struct {
	Strange uint64 `json:"strange_packets,omitempty"`   // of the guest
	Flows   uint64 `json:"limit_flows,omitempty"`       // connections beyond those that may be open
	Opening uint64 `json:"limit_opening,omitempty"`     // connections beyond those that may be opened at once
	Unread  uint64 `json:"unread_packets,omitempty"`    // for a guest that read none
	Untaken uint64 `json:"untaken_datagrams,omitempty"` // of the guest
}

// Texts says what was dropped, and why.
func (d NetworkDrops) Texts() (texts []string) {
	for _, c := range []struct {
		count uint64
		what  string
	}{
		{d.Strange, "packets of the guest that are no IP, not from its own address, to no single host, or a ping of another than its gateway"},
		{d.Flows, "connections, since as many were open as may be"},
		{d.Opening, "connections, since too many were being opened at once; its kernel tries those again"},
		{d.Unread, "packets for the guest, which did not read them"},
		{d.Untaken, "datagrams of the guest, which came faster than they were taken"},
	} {
		if c.count > 0 {
			texts = append(texts, fmt.Sprintf("%d %s", c.count, c.what))
		}
	}
	return texts
}
