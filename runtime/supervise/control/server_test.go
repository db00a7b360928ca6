package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"microagent/runtime/driver"
	"microagent/runtime/layout"
)

// booting is a supervisor whose guest is not there yet. What a test needs more it puts in.
type booting struct {
	Service
	exec func(ctx context.Context, e Exec, s ExecStreams) (Exit, error)
	put  func(tar io.Reader) error
}

func (booting) Status() driver.Run { return driver.Run{ID: "r", Phase: driver.PhaseStarting} }
func (booting) Sync(context.Context) error {
	return &driver.Error{Class: driver.ErrRefused, Op: "sync in workspace", Object: "one", Err: errors.New("the guest is not ready")}
}

func (b booting) Exec(ctx context.Context, e Exec, s ExecStreams) (Exit, error) {
	return b.exec(ctx, e, s)
}
func (b booting) Put(_ context.Context, _ string, tar io.Reader) error { return b.put(tar) }

// listening gives a client of a service that listens for the test.
func listening(t *testing.T, service Service) Client {
	t.Helper()
	folder := workspace(t)
	s, err := Listen(folder, "one", "1.2.3", slog.New(slog.DiscardHandler), service)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.Close(time.Second, time.Minute) {
			t.Error("a call did not end")
		}
	})
	return Client{Folder: folder}
}

func TestNobodyAnswers(t *testing.T) {
	if _, _, err := (Client{Folder: workspace(t)}).Status(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("%v", err)
	}
	if _, _, err := (Client{Folder: layout.Workspace{Dir: filepath.Join(t.TempDir(), "none")}}).Status(t.Context()); !errors.Is(err, ErrGone) {
		t.Errorf("without a folder: %v", err)
	}
}

func TestAnotherVersionHearsWhatToDo(t *testing.T) {
	client := listening(t, booting{})
	ask := func(request any) helloResult {
		t.Helper()
		payload, err := client.carry(t.Context(), exchange{request: request})
		if err != nil {
			t.Fatal(err)
		}
		var r helloResult
		if err := json.Unmarshal(payload, &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	if r := ask(header{Version: 99, Call: CallStatus}); r.Failure != nil || r.Run == nil || r.Run.ID != "r" {
		t.Errorf("a frozen call: %+v", r)
	}
	r := ask(header{Version: 99, Call: CallSync})
	if err := r.err(); !errors.Is(err, driver.ErrUnsupported) || !strings.Contains(err.Error(), "microagent 1.2.3") || r.Version != Version {
		t.Errorf("another call: %+v", r)
	}
	r = ask(header{Version: Version, Call: CallSync})
	if err := r.err(); !errors.Is(err, driver.ErrRefused) {
		t.Errorf("without a guest: %v", err)
	}
	r = ask(header{Version: Version, Call: "none"})
	if err := r.err(); !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("an unknown call: %v", err)
	}
}
