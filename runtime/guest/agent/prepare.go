package agent

import (
	"github.com/containerd/ttrpc"
	pb "google.golang.org/protobuf/proto"

	"microagent/runtime/guest/proto"
	"microagent/runtime/guest/proto/wire"
)

// Prepare does what comes before the first call and needs no host: a guest that others become copies of has done it for them.
// Serve does it otherwise.
func (a *Agent) Prepare() error {
	if a.server != nil {
		return nil
	}
	server, err := ttrpc.NewServer(ttrpc.WithUnaryServerInterceptor(a.guard))
	if err != nil {
		return err
	}
	wire.RegisterAgentService(server, a)
	a.server = server
	a.children.listen() // which takes a thread of its own
	return meet()
}

// met are the messages that every start exchanges, and those that they hold. What protobuf makes of a type it makes when it first
// sees a message of it, and that takes longer than all messages of a start together.
var met = []pb.Message{
	&ttrpc.Request{}, &ttrpc.Response{}, &wire.StreamHeader{},
	&wire.HelloRequest{}, &wire.HelloResponse{}, &wire.ConfigureRequest{}, &wire.ConfigureResponse{}, &wire.Mount{}, &wire.Process{},
	&wire.StartRequest{}, &wire.StartResponse{}, &wire.WaitRequest{}, &wire.WaitResponse{}, &wire.SyncRequest{}, &wire.SyncResponse{},
	&wire.ShutdownRequest{}, &wire.ShutdownResponse{},
}

// meet has each of them made and read once, and does what else is done once.
func meet() error {
	for _, m := range met {
		data, err := pb.Marshal(m)
		if err != nil {
			return err
		}
		if err := pb.Unmarshal(data, m); err != nil {
			return err
		}
	}
	proto.Build()
	return nil
}
