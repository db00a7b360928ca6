package format

// Run is a range of blocks.
type Run struct{ Start, Count uint64 }

// End is the block behind the last.
func (r Run) End() uint64 { return r.Start + r.Count }
