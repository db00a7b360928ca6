package chtest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"testing"

	"microagent/runtime/guest/proto"
)

// testDial reaches servers on the guest's loopback through its agent, as published ports do.
func testDial(t *testing.T, s Server) {
	v := s.start(t)
	v.boot(v.config(s.Guest))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	session := v.agent(ctx)
	defer session.Close()
	must(t, session.Configure(ctx, proto.Config{}))
	dial := func(port uint16) *proto.Connection {
		t.Helper()
		st, err := session.Dial(ctx, proto.Port{Number: port})
		must(t, err)
		t.Cleanup(func() { st.Close() })
		return st
	}

	const echo, resets, deaf = 8080, 8081, 8082
	watch, err := session.Listening(ctx, []proto.Port{{Number: echo}, {Number: resets}, {Number: deaf}})
	must(t, err)
	defer watch.Close()
	if open, err := watch.Next(); err != nil || slices.Contains(open, true) {
		t.Errorf("before any server: %v, %v", open, err)
	}
	if _, err := dial(echo).Read(make([]byte, 1)); err == nil {
		t.Error("a port without a server is dialled")
	} else if e, ok := errors.AsType[*proto.GuestError](err); !ok || e.Code != proto.CodeNotFound {
		t.Error(err)
	}
	for _, server := range []string{"127.0.0.1:8080 echo", "[::1]:8081 reset", "0.0.0.0:8082 deaf"} {
		if got := v.ask("serve %s", server); got != "ok" {
			t.Fatalf("%s: %s", server, got)
		}
	}
	for open := []bool{}; !slices.Equal(open, []bool{true, true, true}); {
		if open, err = watch.Next(); err != nil {
			t.Fatal(err)
		}
	}

	sent := make([]byte, 1<<20)
	_, _ = rand.Read(sent)
	t.Run("half close", func(t *testing.T) {
		st := dial(echo)
		go func() {
			_, _ = st.Write(sent)
			_ = st.CloseWrite()
		}()
		if got, err := io.ReadAll(st); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
		}
	})
	t.Run("reset", func(t *testing.T) {
		st := dial(resets)
		_, err := st.Write([]byte("x"))
		must(t, err)
		if got, err := io.ReadAll(st); err == nil {
			t.Errorf("a server that resets ends its stream well, after %d bytes", len(got))
		}
	})
	t.Run("short connections", func(t *testing.T) {
		for i := range 100 {
			st := dial(echo)
			_, err := st.Write([]byte{byte(i)})
			must(t, err)
			must(t, st.CloseWrite())
			if got, err := io.ReadAll(st); err != nil || !bytes.Equal(got, []byte{byte(i)}) {
				t.Fatalf("connection %d: %q, %v", i, got, err)
			}
			must(t, st.Over())
			must(t, st.Close())
		}
	})
	t.Run("beside a full one", func(t *testing.T) {
		full := dial(deaf)
		stuck := make(chan struct{})
		go func() {
			defer close(stuck)
			for {
				if _, err := full.Write(sent); err != nil {
					return
				}
			}
		}()
		for range 20 {
			st := dial(echo)
			_, err := st.Write([]byte("ping"))
			must(t, err)
			if _, err := io.ReadFull(st, make([]byte, 4)); err != nil {
				t.Fatal(err)
			}
			must(t, st.Close())
			must(t, session.Ping(ctx))
		}
		must(t, full.Close())
		<-stuck
	})
}
