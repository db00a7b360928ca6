package driver

import "time"

// Denial is something that a guest asked of its network and was denied: one record, at the first stage that denied it.
// Names come from the guest.
type Denial struct {
	Time     time.Time `json:"time"`  // of the first
	Stage    string    `json:"stage"` // dns, answer, tcp, udp, sni or dial
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

// NetworkState is what a run's network did so far.
type NetworkState struct {
	Denied int `json:"denied"` // of all that was asked for
	// Last is the newest denial.
	Last *Denial `json:"last,omitempty"`
}
