// Package denial makes records of what a policy denied, and keeps their number within bounds.
//
// It promises one record for what was denied at one moment for one reason, however often the guest tries, and a count of
// what has none. A guest that asks for ever writes no more than Rate records a second, and can't hide what it asked for
// first: what is left out is counted in the next record.
package denial

import (
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"

	"microagent/runtime/driver"
	"microagent/runtime/network/policy"
	"microagent/schema/dnsname"
	"microagent/schema/printable"
)

const (
	// Rate is how many records there are a second, at most, and Burst how many at once.
	Rate  = 20
	Burst = 100
	// window is how long the same denial adds to a count in the place of another record.
	window = time.Minute
	// kinds is how many different denials are told apart.
	kinds = 1024
	// longest is what a record holds of a name that a guest chose, in bytes.
	longest = 256
)

// OfQuestion is the record of a name that was asked for in DNS, in the one form of it where it has one.
func OfQuestion(name string, v policy.Verdict) driver.Denial {
	if one, err := dnsname.Wire(name); err == nil {
		name = one
	}
	return driver.Denial{Stage: string(v.Stage), Names: names([]string{strings.TrimSuffix(name, ".")}), Rule: v.Rule, Reason: text(v.Reason), Count: 1}
}

// OfFlow is the record of a flow, with the name in its handshake, "" where there was none.
func OfFlow(f policy.Flow, server string, v policy.Verdict) driver.Denial {
	return driver.Denial{
		Stage: string(v.Stage), Protocol: string(f.Protocol), Address: f.To.Addr().String(), Port: f.To.Port(), Names: names(f.Names),
		Server: text(server), Rule: v.Rule, Reason: text(v.Reason), Count: 1,
	}
}

// names are as many as a record holds.
func names(list []string) []string {
	var short []string
	for _, name := range list[:min(len(list), 8)] {
		short = append(short, text(name))
	}
	return short
}

func text(s string) string {
	if len(s) > longest {
		s = s[:longest] + "..."
	}
	return printable.Line(s)
}

// key tells one denial from another.
type key struct{ stage, protocol, address, name, server, rule string }

func keyOf(d *driver.Denial) key {
	k := key{d.Stage, d.Protocol, d.Address, "", d.Server, d.Rule}
	if len(d.Names) > 0 {
		k.name = d.Names[0]
	}
	return k
}

// pending is what a record was written of, and how often it came since.
type pending struct {
	denial driver.Denial
	since  int
}

// Log takes denials and gives records. It may be used by many at once.
type Log struct {
	write func(driver.Denial)
	now   func() time.Time

	mu     sync.Mutex // what follows
	seen   *lru.LRU[key, *pending]
	tokens float64
	filled time.Time
	unsaid int
	total  int
	last   *driver.Denial
}

// NewLog gives each record to write, which is called by one at a time and must not wait.
func NewLog(write func(driver.Denial), now func() time.Time) *Log {
	seen, err := lru.NewLRU[key, *pending](kinds, nil)
	if err != nil { // kinds is not positive
		panic(err)
	}
	return &Log{write: write, now: now, seen: seen, tokens: Burst, filled: now()}
}

// Add takes a denial of now.
func (l *Log) Add(d driver.Denial) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d.Time = l.now()
	l.total++
	l.last = &d
	k := keyOf(&d)
	had, again := l.seen.Get(k)
	if again && d.Time.Sub(had.denial.Time) < window {
		had.since++
		return
	}
	if !l.token(d.Time) {
		l.unsaid++
		return
	}
	if again {
		d.Count += had.since
	}
	d.Unsaid, l.unsaid = l.unsaid, 0
	l.seen.Add(k, &pending{denial: d})
	l.write(d)
}

// token takes one of what flows in at Rate.
func (l *Log) token(now time.Time) bool {
	l.tokens = min(Burst, l.tokens+now.Sub(l.filled).Seconds()*Rate)
	l.filled = now
	if l.tokens < 1 {
		return false
	}
	l.tokens--
	return true
}

// State is how many there were, and the newest.
func (l *Log) State() driver.NetworkState {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := driver.NetworkState{Denied: l.total}
	if l.last != nil {
		s.Last = new(*l.last)
	}
	return s
}
