package initd

import (
	"encoding/binary"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SetClock sets the wall clock, in nanoseconds since 1970.
func (*system) SetClock(wall int64) error {
	ts := unix.NsecToTimespec(wall)
	return unix.ClockSettime(unix.CLOCK_REALTIME, &ts)
}

// AddEntropy gives the kernel random bytes and has it use them at once: struct rand_pool_info of
// linux/random.h is two native ints and the bytes.
func (*system) AddEntropy(seed []byte) error {
	const most = 512
	seed = seed[:min(len(seed), most)]
	f, err := os.OpenFile("/dev/random", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info := binary.NativeEndian.AppendUint32(nil, uint32(8*len(seed)))
	info = binary.NativeEndian.AppendUint32(info, uint32(len(seed)))
	info = append(info, seed...)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.RNDADDENTROPY, uintptr(unsafe.Pointer(&info[0])))
	runtime.KeepAlive(info)
	if errno != 0 {
		return fmt.Errorf("add to the kernel's pool: %w", errno)
	}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.RNDRESEEDCRNG, 0); errno != 0 {
		return fmt.Errorf("reseed the kernel's generator: %w", errno)
	}
	return nil
}
