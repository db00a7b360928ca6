package serialmux

import (
	"encoding/binary"
	"errors"
	"net"
)

// errPing ends a session whose guest pings.
var errPing = errors.New("serialmux: the guest sent a ping, which ours never does")

// Of a yamux frame: the header is version, type, flags (2), stream (4) and length (4); data frames alone have a body
// of that length (github.com/hashicorp/yamux, spec.md).
const (
	frameHeader = 12
	frameData   = 0
	framePing   = 2
)

// noPings refuses pings before yamux sees them: it answers each by a goroutine that waits for room to write, and a
// guest that pings and does not read would fill the host's memory with those.
type noPings struct {
	net.Conn
	header [frameHeader]byte
	have   int
	body   uint32
}

func (c *noPings) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if pinged := c.follow(p[:n]); pinged != nil {
		return 0, pinged
	}
	return n, err
}

func (c *noPings) follow(data []byte) error {
	for len(data) > 0 {
		if c.body > 0 {
			n := min(uint32(len(data)), c.body)
			c.body -= n
			data = data[n:]
			continue
		}
		n := copy(c.header[c.have:], data)
		c.have += n
		data = data[n:]
		if c.have < frameHeader {
			return nil
		}
		c.have = 0
		switch c.header[1] {
		case frameData:
			c.body = binary.BigEndian.Uint32(c.header[8:])
		case framePing:
			return errPing
		}
	}
	return nil
}
