package supervise

import (
	"testing"

	"microagent/runtime/guest/proto"
)

// A run without a network starts nothing, opens no stream to its guest, and tells it of none.
func TestWithoutANetwork(t *testing.T) {
	var none *proto.Session // any call of which would panic
	s := &supervisor{}
	if err := s.startNetwork(); err != nil {
		t.Fatal(err)
	}
	defer s.stopNetwork()
	if s.network != nil {
		t.Error("there is a gateway")
	}
	s.serveNetwork(t.Context(), none)()
	if err := s.agentHasNetwork(none); err != nil {
		t.Error(err)
	}
	if s.guestNetwork() != nil {
		t.Error("the guest is told of one")
	}
}
