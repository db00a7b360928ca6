package gateway

import (
	"context"
	"encoding/json"
	"errors"

	"microagent/runtime/network/dial"
	"microagent/schema/spec"
)

// ask is for a connection to a peer, which only the supervisor can make.
type ask struct {
	ID       int           `json:"id"`
	Peer     string        `json:"peer"`
	Port     uint16        `json:"port"`
	Protocol spec.Protocol `json:"protocol"`
}

// answer comes with a connection, or says why not.
type answer struct {
	ID     int    `json:"id"`
	Failed string `json:"failed,omitempty"`

	conn dial.Conn
}

// askPeer has the supervisor connect to a peer.
func (c *child) askPeer(ctx context.Context, peer string, port uint16, protocol spec.Protocol) (dial.Conn, error) {
	came := make(chan answer, 1)
	c.mu.Lock()
	c.last++
	id := c.last
	c.asked[id] = came
	c.mu.Unlock()
	err := c.pair.send(kindAsk, ask{id, peer, port, protocol}, nil)
	if err == nil {
		select {
		case a := <-came:
			if a.conn == nil {
				return nil, errors.New(a.Failed)
			}
			return a.conn, nil
		case <-ctx.Done():
			err = ctx.Err()
		}
	}
	c.mu.Lock()
	delete(c.asked, id)
	c.mu.Unlock()
	select {
	case a := <-came: // meanwhile
		if a.conn != nil {
			_ = a.conn.Close()
		}
	default:
	}
	return nil, err
}

// takePeer hands an answer to who asked.
func (c *child) takePeer(m message) error {
	var a answer
	err := json.Unmarshal(m.data, &a)
	if m.file != nil {
		conn, fileErr := connOf(m.file)
		if own, ok := conn.(dial.Conn); ok {
			a.conn = own
		}
		err = errors.Join(err, fileErr)
	}
	c.mu.Lock()
	came := c.asked[a.ID]
	delete(c.asked, a.ID)
	if came != nil {
		came <- a
	}
	c.mu.Unlock()
	if came == nil && a.conn != nil {
		_ = a.conn.Close()
	}
	return err
}
