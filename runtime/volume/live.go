package volume

import "context"

// frozenKey marks the context of who reads an image while its guest's file system is frozen.
type frozenKey struct{}

func frozen(ctx context.Context) bool { return ctx.Value(frozenKey{}) != nil }
