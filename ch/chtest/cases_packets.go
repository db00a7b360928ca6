package chtest

import (
	"bytes"
	"context"
	"testing"

	"microagent/runtime/guest/proto"
	"microagent/runtime/network/packets"
)

// testPackets sends packets to a guest whose interface sends them back, as a gateway does.
func testPackets(t *testing.T, s Server) {
	v := s.start(t)
	v.boot(v.config(s.Guest))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session := v.agent(ctx)
	defer session.Close()
	if !session.Hello().Has(proto.CapPackets) {
		t.Fatalf("the agent lists %q", session.Hello().Capabilities)
	}
	open := func() (*proto.Stream, error) {
		t.Helper()
		conn, err := session.StreamConn(ctx)
		must(t, err)
		t.Cleanup(func() { conn.Close() })
		return proto.OpenPackets(ctx, conn)
	}
	if _, err := open(); err == nil {
		t.Error("packets are carried before the guest was configured")
	}
	must(t, session.Configure(ctx, proto.Config{}))

	exchange := func(st *proto.Stream) {
		t.Helper()
		in := packets.NewReader(st)
		sizes := []int{1, 40, 1500, 65520, 65535}
		for round := range 20 {
			list := sizes
			var batch packets.Batch
			for len(list) > 0 { // several in one write
				must(t, batch.Fill(func(p []byte) (int, error) {
					if len(list) == 0 {
						return 0, nil
					}
					n := copy(p, bytes.Repeat([]byte{byte(round)}, list[0]))
					list = list[1:]
					return n, nil
				}))
				must(t, batch.Send(st))
			}
			for _, size := range sizes {
				p, err := in.Next()
				must(t, err)
				if !bytes.Equal(p, bytes.Repeat([]byte{byte(round)}, size)) {
					t.Fatalf("round %d: %d bytes came back for %d", round, len(p), size)
				}
			}
			must(t, session.Ping(ctx))
		}
	}
	first, err := open()
	must(t, err)
	exchange(first)
	second, err := open()
	must(t, err)
	if _, err := first.Read(make([]byte, 1)); err == nil {
		t.Error("two streams carry the packets of one interface")
	}
	exchange(second)
	// One that breaks the framing is left, and the next one works.
	_, err = second.Write(bytes.Repeat([]byte{0xFF}, 100))
	must(t, err)
	if _, err := second.Read(make([]byte, 1)); err == nil {
		t.Error("frames that are none are carried")
	}
	third, err := open()
	must(t, err)
	exchange(third)
}
