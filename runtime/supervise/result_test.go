package supervise

import (
	"encoding/json"
	"log/slog"
	"testing"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func decode(t *testing.T, payload []byte) Result {
	t.Helper()
	var r Result
	if err := json.Unmarshal(payload, &r); err != nil {
		t.Fatal(err)
	}
	return r
}
