package ch_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"microagent/ch"
)

// A VMM's events are a stream on a descriptor of its own; one that is torn is passed over.
func ExampleEventDecoder() {
	stream := strings.NewReader(`{"timestamp":{"secs":1,"nanos":0},"source":"vmm","event":"starting","properties":null}

{"timestamp":{"secs":2,"nanos":0},"source":"vm","event":"boo
{"timestamp":{"secs":3,"nanos":0},"source":"vm","event":"shutdown","properties":null}

`)
	events := ch.NewEventDecoder(stream)
	for {
		e, err := events.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		fmt.Println(e.Since, e.Source, e.Name)
	}
	fmt.Println("lines that belonged to none:", events.Skipped)
	// Output:
	// 1s vmm starting
	// 3s vm shutdown
	// lines that belonged to none: 1
}

// A client asks over the VMM's socket. Here a server that says what a VMM says before it has a machine stands for it.
func ExampleClient() {
	dir, err := os.MkdirTemp("", "example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	socket := filepath.Join(dir, "api")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer listener.Close()
	go http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // it ends with the listener
		if r.URL.Path == "/api/v1/vmm.ping" {
			fmt.Fprint(w, `{"build_version":"v53.0.0","version":"53.0.0","pid":1,"features":[]}`)
			return
		}
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `["Error from API","VM is not created"]`)
	}))

	client := ch.New(ch.Unix(socket), ch.Timeouts{})
	defer client.Close()
	ctx := context.Background()
	ping, err := client.Ping(ctx)
	fmt.Println(ping.Version, err)
	state, err := client.State(ctx)
	fmt.Println(state, err)
	_, err = client.Info(ctx)
	fmt.Println(err)
	// Output:
	// 53.0.0 <nil>
	// NotCreated <nil>
	// vm.info: VM is not created (status 404)
}
