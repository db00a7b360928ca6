package gateway

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"microagent/runtime/network/dns"
)

// Bounds of questions over TCP: how many connections there are, and how long one may say nothing.
const (
	nameConns    = 32
	namePatience = 10 * time.Second
)

// serveNames answers questions for names at an address of the gateway, until the gateway ends.
func (g *gateway) serveNames(at netip.AddrPort) error {
	packets, listener, err := g.stack.Listen(at)
	if err != nil {
		return err
	}
	g.work.Go(func() {
		<-g.ctx.Done()
		_ = packets.Close()
		_ = listener.Close()
	})
	g.work.Go(func() { g.answerPackets(packets) })
	g.work.Go(func() { g.answerConns(listener) })
	return nil
}

func (g *gateway) answerPackets(c net.PacketConn) {
	b := make([]byte, dns.Longest)
	for {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			if g.ctx.Err() != nil || errors.Is(err, net.ErrClosed) || errors.Is(err, io.EOF) {
				return
			}
			continue
		}
		question := append([]byte(nil), b[:n]...)
		g.work.Go(func() {
			if answer := g.names.Answer(g.ctx, question, true); answer != nil {
				_, _ = c.WriteTo(answer, from)
			}
		})
	}
}

func (g *gateway) answerConns(l net.Listener) {
	places := make(chan struct{}, nameConns)
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case places <- struct{}{}:
		default:
			_ = conn.Close()
			continue
		}
		g.work.Go(func() {
			defer func() { <-places }()
			defer conn.Close()
			g.answerConn(conn)
		})
	}
}

// answerConn answers one question after another, each after two bytes of its length (RFC 1035, section 4.2.2).
func (g *gateway) answerConn(c net.Conn) {
	for {
		_ = c.SetDeadline(time.Now().Add(namePatience))
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(size[:]))
		if n > dns.Longest {
			return
		}
		question := make([]byte, n)
		if _, err := io.ReadFull(c, question); err != nil {
			return
		}
		answer := g.names.Answer(g.ctx, question, false)
		if answer == nil || len(answer) > 65535 {
			return
		}
		_ = c.SetDeadline(time.Now().Add(namePatience))
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(answer))), answer...)); err != nil {
			return
		}
	}
}
