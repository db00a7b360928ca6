package agent

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"microagent/runtime/guest/chardev"
	"microagent/runtime/guest/proto"
	"microagent/runtime/network/packets"
)

// link is the stream that the interface's packets go over.
type link struct {
	mu     sync.Mutex
	stream *proto.Stream
	done   chan struct{} // closed when nobody uses the interface for stream any more
}

// take makes a stream the one, once another has gone.
func (l *link) take(st *proto.Stream) (done chan struct{}) {
	l.mu.Lock()
	old, over := l.stream, l.done
	done = make(chan struct{})
	l.stream, l.done = st, done
	l.mu.Unlock()
	if old != nil {
		_ = old.Close()
		<-over
	}
	return done
}

// carryPackets carries the packets of the guest's interface until the stream ends, or the host opens another.
func (a *Agent) carryPackets(ctx context.Context, st *proto.Stream) {
	if err := a.ready(); err != nil {
		finish(st, err)
		return
	}
	file := a.system.Link()
	if file == nil {
		finish(st, proto.Errorf(proto.CodeRefused, "this guest has no network"))
		return
	}
	device, err := chardev.New(file)
	if err != nil {
		finish(st, err)
		return
	}
	link := newTun(device)
	done := a.link.take(st)
	defer close(done)
	if st.Ok() != nil {
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = st.Close() })
	defer stop()
	var out sync.WaitGroup
	out.Go(func() {
		if err := sendPackets(link, st); !errors.Is(err, os.ErrDeadlineExceeded) {
			_ = st.Close()
		}
	})
	if err := endStale(link, tables); err != nil {
		a.log.Printf("connections of an earlier stream of packets: %v", err)
	}
	deliverPackets(link, st)
	_ = st.Close()
	_ = link.SetReadDeadline(time.Unix(1, 0))
	out.Wait()
	_ = link.SetReadDeadline(time.Time{})
}

// sendPackets sends what the guest's kernel sends, until it can't. All that waits goes at once.
func sendPackets(link *tun, st *proto.Stream) error {
	var batch packets.Batch
	for {
		_, err := link.ReadBy(func(read func([]byte) (int, error)) (int, error) {
			err := batch.Fill(read)
			return batch.Len(), err
		})
		if err != nil {
			return err
		}
		if err := batch.Send(st); err != nil {
			return err
		}
	}
}

// deliverPackets gives the guest's kernel what comes from the host. What it does not take for a packet is dropped.
func deliverPackets(link *tun, st *proto.Stream) {
	in := packets.NewReader(st)
	for {
		p, err := in.Next()
		if err != nil {
			return
		}
		link.deliver(p)
	}
}
