package denial

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/network/policy"
	"microagent/schema/spec"
)

// clock is a time that the test moves.
type clock struct{ now time.Time }

func logged(t *testing.T) (*Log, *clock, *[]driver.Denial) {
	t.Helper()
	c := &clock{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	var got []driver.Denial
	return NewLog(func(d driver.Denial) { got = append(got, d) }, func() time.Time { return c.now }), c, &got
}

func question(name string) driver.Denial { return OfQuestion(name, policy.None.Question(name)) }

func TestSameDenialIsCounted(t *testing.T) {
	l, c, got := logged(t)
	for range 1000 {
		l.Add(question("evil.example"))
	}
	l.Add(question("other.example"))
	if len(*got) != 2 || (*got)[0].Count != 1 || (*got)[0].Names[0] != "evil.example" || (*got)[0].Rule != "default" {
		t.Fatalf("%+v", *got)
	}
	c.now = c.now.Add(2 * time.Minute)
	l.Add(question("evil.example"))
	if len(*got) != 3 || (*got)[2].Count != 1000 {
		t.Errorf("%+v", *got)
	}
	if s := l.State(); s.Denied != 1002 || s.Last.Names[0] != "evil.example" {
		t.Errorf("%+v", s)
	}
}

// TestFloodIsBounded: a guest that asks for another name each time fills no disk, and what it hides is counted.
func TestFloodIsBounded(t *testing.T) {
	l, c, got := logged(t)
	for i := range 100_000 {
		l.Add(question(fmt.Sprintf("n%d.example", i)))
	}
	if len(*got) != Burst {
		t.Errorf("%d records at once", len(*got))
	}
	c.now = c.now.Add(time.Second)
	for i := range 1000 {
		l.Add(question(fmt.Sprintf("m%d.example", i)))
	}
	if len(*got) != Burst+Rate || (*got)[Burst].Unsaid != 100_000-Burst {
		t.Errorf("%d records after a second, with %d unsaid", len(*got), (*got)[Burst].Unsaid)
	}
	if l.seen.Len() > kinds {
		t.Errorf("%d are remembered", l.seen.Len())
	}
}

// TestRecordIsBoundedAndShown: what the guest wrote can't be longer or do more than a record shows.
func TestRecordIsBoundedAndShown(t *testing.T) {
	name := "\x1b[31m" + strings.Repeat("x", 10_000)
	d := question(name)
	if len(d.Names[0]) > 2*longest || strings.Contains(d.Names[0], "\x1b") {
		t.Errorf("%q", d.Names[0])
	}
	f := policy.Flow{Protocol: spec.TCP, To: netip.MustParseAddrPort("10.0.0.1:80"), Names: make([]string, 100)}
	d = OfFlow(f, name, policy.None.Flow(f))
	if len(d.Names) > 8 || len(d.Server) > 2*longest || d.Address != "10.0.0.1" || d.Port != 80 || d.Rule != policy.RulePrivate {
		t.Errorf("%+v", d)
	}
}

// A name is one, whatever its spelling, and has no dot at its end.
func TestQuestionsInOtherSpellings(t *testing.T) {
	records := 0
	l := NewLog(func(driver.Denial) { records++ }, func() time.Time { return time.Unix(0, 0) })
	for _, name := range []string{"evil.example.", "EVIL.example.", "eViL.ExAmPlE"} {
		d := OfQuestion(name, policy.Verdict{Stage: policy.StageQuestion, Rule: policy.RuleDefault, Reason: "no"})
		if d.Names[0] != "evil.example" {
			t.Errorf("%s: %q", name, d.Names)
		}
		l.Add(d)
	}
	if records != 1 {
		t.Errorf("%d records", records)
	}
	if d := OfQuestion("no name.", policy.Verdict{}); d.Names[0] != "no name" {
		t.Errorf("%q", d.Names)
	}
}
