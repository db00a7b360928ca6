package driver

import (
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
}
