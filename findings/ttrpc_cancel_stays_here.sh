#!/usr/bin/env bash
# A call of ttrpc that its caller gave up goes on in the server.
#
# What one expects: ttrpc is gRPC without HTTP/2, so the end of the caller's context ends that of the handler. What happens: a
# deadline is sent with the request, a cancellation is not: the caller has context.Canceled, further calls of the connection are
# answered, and the first handler's context lasts until the connection ends. A handler that waits for a process or holds
# something is held by a caller that is gone; a call that a user may interrupt needs a call that ends it, or a connection of its
# own.
#
# Seen with github.com/containerd/ttrpc v1.2.10. It needs Go and bash.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
cat >go.mod <<'MOD'
module finding

go 1.25.0

require github.com/containerd/ttrpc v1.2.10
MOD
cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"github.com/containerd/ttrpc"
	"google.golang.org/protobuf/types/known/emptypb"
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func main() {
	began, again, ended := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	server := must(ttrpc.NewServer())
	server.RegisterService("finding.Wait", &ttrpc.ServiceDesc{Methods: map[string]ttrpc.Method{
		"Long": func(ctx context.Context, read func(any) error) (any, error) {
			close(began)
			<-ctx.Done()
			ended <- context.Cause(ctx)
			return &emptypb.Empty{}, nil
		},
		"Short": func(ctx context.Context, read func(any) error) (any, error) {
			close(again)
			return &emptypb.Empty{}, nil
		},
	}})
	dir := must(os.MkdirTemp("", "finding"))
	defer os.RemoveAll(dir)
	listener := must(net.Listen("unix", filepath.Join(dir, "s")))
	go server.Serve(context.Background(), listener)

	conn := must(net.Dial("unix", filepath.Join(dir, "s")))
	client := ttrpc.NewClient(conn)
	ctx, cancel := context.WithCancel(context.Background())
	go func() { <-began; cancel() }()
	err := client.Call(ctx, "finding.Wait", "Long", &emptypb.Empty{}, &emptypb.Empty{})
	fmt.Println("the caller:", err)
	fmt.Println("a call after it:", client.Call(context.Background(), "finding.Wait", "Short", &emptypb.Empty{}, &emptypb.Empty{}))
	<-again
	select {
	case cause := <-ended:
		fmt.Println("the handler was cancelled:", cause)
		os.Exit(1)
	default:
		fmt.Println("the handler of the cancelled call still runs")
	}
	client.Close()
	fmt.Println("after the connection's end:", <-ended)
	if !errors.Is(err, context.Canceled) {
		os.Exit(1)
	}
}
GO
go mod tidy >/dev/null 2>&1
echo "github.com/containerd/ttrpc $(go list -m -f '{{.Version}}' github.com/containerd/ttrpc)"
go run .
