package supervise

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"microagent/runtime/layout"
	"microagent/runtime/network/dial"
	"microagent/runtime/supervise/control"
	"microagent/schema/spec"
)

// peers leads a guest's connections to workspaces of its project, each through the supervisor of that workspace: it
// forwards the port to a socket in a folder that this user alone may enter, as long as somebody asks for it.
type peers struct {
	state layout.State
	may   func() *spec.Network // what the guest may reach now
	dir   string

	ctx    context.Context // of all forwards
	cancel context.CancelFunc
	work   sync.WaitGroup
	mu     sync.Mutex // what follows
	open   map[string]*forward
	made   int // so far
}

// forward is a port of a peer at a socket. ready is closed when the peer's guest has said whether it has a server, ended when
// the port is forwarded no more.
type forward struct {
	kind, socket string // "unix", and "unixpacket" of datagrams
	ready, ended chan struct{}
	err          error // of its end
}

func newPeers(state layout.State, may func() *spec.Network) (*peers, error) {
	dir, err := os.MkdirTemp("", "microagent-") // short: a socket's path has 108 bytes
	if err != nil {
		return nil, fmt.Errorf("make a folder for peers: %w", err)
	}
	p := &peers{state: state, may: may, dir: dir, open: map[string]*forward{}}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p, nil
}

func (p *peers) close() error {
	p.cancel()
	p.work.Wait()
	return os.RemoveAll(p.dir)
}

// connect gives a connection to a port of a peer. The gateway's policy has allowed it; whether it is a peer is looked at
// again.
func (p *peers) connect(ctx context.Context, peer string, port uint16, protocol spec.Protocol) (*os.File, error) {
	n := p.may()
	if n == nil {
		return nil, errors.New("no network")
	}
	i := slices.IndexFunc(n.Peers, func(q spec.Peer) bool { return q.Name == peer })
	if i < 0 {
		return nil, fmt.Errorf("%s is no peer", peer)
	}
	ctx, cancel := context.WithTimeout(ctx, dial.Patience)
	defer cancel()
	f := p.forward(n.Peers[i].ID, port, protocol)
	select {
	case <-f.ready:
	case <-f.ended:
		return nil, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, f.kind, f.socket) // nothing is there while the peer has no server
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.(*net.UnixConn).File()
}

// forward gives the one of a port that is open, or opens it.
func (p *peers) forward(workspace string, port uint16, protocol spec.Protocol) *forward {
	p.mu.Lock()
	defer p.mu.Unlock()
	key := fmt.Sprintf("%s:%d/%s", workspace, port, protocol)
	if f := p.open[key]; f != nil {
		return f
	}
	f := &forward{kind: "unix", socket: filepath.Join(p.dir, strconv.Itoa(p.made)), ready: make(chan struct{}), ended: make(chan struct{})}
	if protocol == spec.UDP {
		f.kind = "unixpacket"
	}
	p.open[key] = f
	p.made++
	p.work.Go(func() {
		client := control.Client{Folder: p.state.Workspace(workspace)}
		err := client.ForwardSettled(p.ctx, []spec.Port{{Guest: port, Protocol: protocol, Socket: f.socket}}, func([]spec.Port) error {
			close(f.ready)
			return nil
		})
		if f.err = err; err == nil {
			f.err = errors.New("the peer's port is not forwarded any more")
		}
		p.mu.Lock()
		delete(p.open, key) // the next who asks opens it anew
		p.mu.Unlock()
		close(f.ended)
	})
	return f
}
