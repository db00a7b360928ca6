package ports

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestDatagrams(t *testing.T) {
	session := bootAgent(t)
	guest := free(t, true)
	p := newPorts(t)
	number := publish(t, p, fmt.Sprintf("auto:%d/udp", guest))[0].Host
	serving(t, p, Session(session))
	ask := func(conn net.Conn, text string) (string, error) {
		if _, err := io.WriteString(conn, text); err != nil {
			return "", err
		}
		b := make([]byte, 64<<10)
		_ = conn.SetReadDeadline(time.Now().Add(10 * time.Second))
		n, err := conn.Read(b)
		return string(b[:n]), err
	}
	for _, address := range []string{"127.0.0.1", "::1"} {
		conn, err := net.Dial("udp", at(address, number))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := ask(conn, "x"); !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("%s: before the server: %q, %v", address, got, err)
		}
		conn.Close()
	}
	server, err := net.ListenPacket("udp4", at("127.0.0.1", guest))
	if err != nil {
		t.Fatal(err)
	}
	var w sync.WaitGroup
	w.Go(func() {
		b := make([]byte, 64<<10)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(b[:n], from)
		}
	})
	listening(t, p, true)
	var clients []net.Conn
	for i := range MaxFlows + 10 {
		conn, err := net.Dial("udp", at([]string{"127.0.0.1", "::1"}[i%2], number))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		clients = append(clients, conn)
		want := strings.Repeat(fmt.Sprint(i), 1+i*100)
		if got, err := ask(conn, want); got != want || err != nil {
			t.Errorf("client %d: %d of %d bytes, %v", i, len(got), len(want), err)
		}
	}
	if n := len(p.slots); n > 2*MaxFlows {
		t.Errorf("%d flows", n)
	}
	if got, err := ask(clients[0], "again"); got != "again" || err != nil {
		t.Errorf("the first client comes back: %q, %v", got, err)
	}
	server.Close()
	w.Wait()
	listening(t, p, false)
	if got, err := ask(clients[1], "x"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("after the server: %q, %v", got, err)
	}
	empty(t, p)
	if c, err := net.ListenPacket("udp4", at("127.0.0.1", number)); err == nil {
		c.Close()
		t.Error("another program could take the port")
	}
}
