package agent

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/proto/wire"
)

// openTerminal makes a pseudo-terminal owned by uid: our end, which works with deadlines, and the process's.
func openTerminal(size *wire.WindowSize, uid int) (ours, theirs *os.File, err error) {
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("open /dev/ptmx: %w", err)
	}
	ours = os.NewFile(uintptr(fd), "ptmx")
	fail := func(err error) (*os.File, *os.File, error) {
		ours.Close()
		return nil, nil, err
	}
	n, err := unix.IoctlGetUint32(fd, unix.TIOCGPTN)
	if err != nil {
		return fail(fmt.Errorf("number of terminal: %w", err))
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		return fail(fmt.Errorf("unlock terminal: %w", err))
	}
	name := fmt.Sprintf("/dev/pts/%d", n)
	if theirs, err = os.OpenFile(name, os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return fail(err)
	}
	if err := theirs.Chown(uid, -1); err != nil {
		theirs.Close()
		return fail(err)
	}
	if err := resize(ours, size); err != nil {
		theirs.Close()
		return fail(err)
	}
	return ours, theirs, nil
}

// resize sets a terminal's size; its foreground processes get SIGWINCH. Zero leaves it alone.
func resize(terminal *os.File, size *wire.WindowSize) error {
	if size.GetRows() == 0 && size.GetColumns() == 0 {
		return nil
	}
	raw, err := terminal.SyscallConn()
	if err != nil {
		return err
	}
	ws := &unix.Winsize{Row: uint16(size.GetRows()), Col: uint16(size.GetColumns())}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, ws) }); err != nil {
		return err
	}
	return set
}

// endOfFile is what a fresh terminal takes as the end of its input.
const endOfFile = 4
