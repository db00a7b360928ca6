package term

import (
	"context"
	"errors"
	"os"
	"testing"
)

// pipe stands for a terminal: what is waited for is the same.
func pipe(t *testing.T) (in, out *os.File) {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); out.Close() })
	return in, out
}

func TestAnswerComesInPieces(t *testing.T) {
	in, out := pipe(t)
	go func() {
		_, _ = out.WriteString("ye")
		_, _ = out.WriteString("s\n")
	}()
	if line, err := answer(t.Context(), in); err != nil || line != "yes\n" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestAnswerEndsWithItsInput(t *testing.T) {
	in, out := pipe(t)
	out.Close()
	if line, err := answer(t.Context(), in); err != nil || line != "" {
		t.Errorf("%q, %v", line, err)
	}
}

func TestAnswerGivesUp(t *testing.T) {
	in, _ := pipe(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := answer(ctx, in)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
