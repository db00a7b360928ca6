package image

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/containerd/log"
)

var (
	routeOnce sync.Once
	routed    atomic.Pointer[slog.Logger]
)

// routeLog sends what containerd's libraries log to to; nil drops it. Their logger is one for the process, so the
// newest call holds for all.
func routeLog(to *slog.Logger) {
	routed.Store(to)
	routeOnce.Do(func() {
		log.L.Logger.SetOutput(io.Discard)
		log.L.Logger.AddHook(logHook{})
	})
}

type logHook struct{}

// Levels are those that are worth passing on.
func (logHook) Levels() []log.Level {
	return []log.Level{log.PanicLevel, log.FatalLevel, log.ErrorLevel, log.WarnLevel, log.InfoLevel}
}

// Fire passes one entry on. What containerd warns of is a detail to us: its errors come back from its calls.
func (logHook) Fire(e *log.Entry) error {
	to := routed.Load()
	if to == nil {
		return nil
	}
	args := []any{"from", "containerd"}
	for _, k := range slices.Sorted(maps.Keys(e.Data)) {
		args = append(args, k, e.Data[k])
	}
	to.Log(context.WithoutCancel(entryContext(e)), slog.LevelDebug, e.Message, args...)
	return nil
}

func entryContext(e *log.Entry) context.Context {
	if e.Context != nil {
		return e.Context
	}
	return context.Background()
}
