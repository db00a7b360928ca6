package dns

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
)

const (
	// foundFor and missingFor are how long what the resolver said is not asked again. A failure is asked for again at once.
	foundFor   = timeToLive
	missingFor = 5 * time.Second
	// lookupLimit is how long the resolver may take: as long as one of resolv.conf with its tries.
	lookupLimit = 15 * time.Second
	mostKnown   = 1024
)

// lookups asks a resolver, once for all that want the same name at the same time, and remembers what it says for a while.
type lookups struct {
	resolver Resolver
	ctx      context.Context // of all that are under way
	cancel   context.CancelFunc
	running  sync.WaitGroup
	now      func() time.Time

	mu    sync.Mutex // what follows
	known *lru.LRU[string, found]
	asked map[string]*lookup // that are under way
}

// lookup is one that is under way; done is closed when found is there.
type lookup struct {
	done  chan struct{}
	found found
}

// answer is addresses, and the names that led there.
type answer struct {
	addresses []netip.Addr
	through   []string
}

// found is what a resolver said.
type found struct {
	answer answer
	err    error
	until  time.Time
}

func newLookups(r Resolver) *lookups {
	known, err := lru.NewLRU[string, found](mostKnown, nil)
	if err != nil { // mostKnown is not positive
		panic(err)
	}
	l := &lookups{resolver: r, known: known, now: time.Now, asked: map[string]*lookup{}}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l
}

// close ends what is under way and waits for it; nobody may ask meanwhile or afterwards.
func (l *lookups) close() {
	l.cancel()
	l.running.Wait()
}

var errBusy = errors.New("too many names are being looked up")

// find gives what is said of a name, of both families: with one of them alone the other is known to have none. A lookup
// that nobody waits for any more goes on, for the next who asks.
func (l *lookups) find(ctx context.Context, name string) (answer, error) {
	l.mu.Lock()
	if f, ok := l.known.Get(name); ok && l.now().Before(f.until) {
		l.mu.Unlock()
		return f.answer, f.err
	}
	one := l.asked[name]
	if one == nil && len(l.asked) >= MostUnderWay {
		l.mu.Unlock()
		return answer{}, errBusy
	}
	if one == nil {
		one = &lookup{done: make(chan struct{})}
		l.asked[name] = one
		l.running.Go(func() { l.ask(name, one) })
	}
	l.mu.Unlock()
	select {
	case <-one.done:
		return one.found.answer, one.found.err
	case <-ctx.Done():
		return answer{}, ctx.Err()
	}
}

// ask asks the resolver.
func (l *lookups) ask(name string, one *lookup) {
	ctx, cancel := context.WithTimeout(l.ctx, lookupLimit)
	defer cancel()
	addresses, through, err := l.resolver.Lookup(ctx, name)
	one.found = found{answer{addresses, through}, err, l.now().Add(foundFor)}
	if isNotFound(err) {
		one.found.until = l.now().Add(missingFor)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil || isNotFound(err) {
		l.known.Add(name, one.found)
	}
	delete(l.asked, name)
	close(one.done)
}

// isNotFound says that a resolver knows that a name has no address.
func isNotFound(err error) bool {
	e, ok := errors.AsType[*net.DNSError](err)
	return ok && e.IsNotFound
}
