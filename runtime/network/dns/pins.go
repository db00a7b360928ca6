package dns

import (
	"net/netip"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// pinnedFor is how long an address belongs to the names that it was given for, from the last answer or the last flow:
	// programs keep what they were told for longer than its time to live.
	pinnedFor  = time.Hour
	mostPins   = 4096 // addresses; the one that was of use longest ago goes first
	mostPinned = 32   // names of one address
)

// Pins are the names for which a guest was given its addresses. They may be used by many at once.
type Pins struct {
	now func() time.Time

	mu   sync.Mutex // what follows
	pins *lru.LRU[netip.Addr, []pin]
}

// pin is a name, and until when it counts.
type pin struct {
	name    string
	aliases []string // that it led through
	until   time.Time
}

// NewPins has none. now tells the time.
func NewPins(now func() time.Time) *Pins {
	pins, err := lru.NewLRU[netip.Addr, []pin](mostPins, nil)
	if err != nil { // mostPins is not positive
		panic(err)
	}
	return &Pins{now: now, pins: pins}
}

// Add says that an address was given for a name, which led through aliases.
func (p *Pins) Add(a netip.Addr, name string, aliases ...string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list, _ := p.pins.Get(a)
	list = slices.DeleteFunc(slices.Clone(list), func(one pin) bool { return one.name == name })
	if len(list) == mostPinned {
		list = list[1:]
	}
	p.pins.Add(a, append(list, pin{name, aliases, p.now().Add(pinnedFor)}))
}

// Names are those that an address was given for, the newest first, and what each led through. They count from now on as if
// they had been given now, since whoever asks has a flow to that address.
func (p *Pins) Names(a netip.Addr) (names []string, aliases map[string][]string) {
	return p.find(a, true)
}

func (p *Pins) find(a netip.Addr, uses bool) (names []string, aliases map[string][]string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	list, ok := p.pins.Get(a)
	if !ok {
		return nil, nil
	}
	now := p.now()
	list = slices.DeleteFunc(slices.Clone(list), func(one pin) bool { return !now.Before(one.until) })
	for i := range list {
		if uses {
			list[i].until = now.Add(pinnedFor)
		}
		one := list[len(list)-1-i]
		names = append(names, one.name)
		if len(one.aliases) > 0 {
			if aliases == nil {
				aliases = map[string][]string{}
			}
			aliases[one.name] = one.aliases
		}
	}
	if len(list) == 0 {
		p.pins.Remove(a)
		return nil, nil
	}
	p.pins.Add(a, list)
	return names, aliases
}
