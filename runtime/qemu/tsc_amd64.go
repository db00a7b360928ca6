package qemu

// readTSC reads the time stamp counter; 0 where there is none.
func readTSC() uint64
