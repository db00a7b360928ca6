package initd

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"microagent/runtime/guest/agent"
)

// The lists in the initramfs name module files in the order to load them, one path a line: ModuleList those that every
// guest has, QuotaList and NetworkList those that mounting a disk with quotas, and a network, need besides.
const (
	ModuleList  = "/modules/list"
	QuotaList   = "/modules/quota"
	NetworkList = "/modules/network"
)

// loadModules loads all of a list; one that fails is a line in the log, and what needs it will say so.
func loadModules(log *agent.Log, name string) {
	list, err := os.ReadFile(name)
	if err != nil {
		log.Printf("modules: %v", err)
		return
	}
	lines := bufio.NewScanner(bytes.NewReader(list))
	for lines.Scan() {
		if path := strings.TrimSpace(lines.Text()); path != "" {
			if err := loadModule(path); err != nil {
				log.Printf("module %s: %v", path, err)
			}
		}
	}
}

func loadModule(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// helperSetting names the program that the kernel runs when it wants a module (Documentation/admin-guide/sysctl/kernel.rst,
// modprobe); an empty line is none.
const helperSetting = "/proc/sys/kernel/modprobe"

// dismissHelper keeps the kernel from starting a process for each module that it looks for while the initramfs, which has no
// such program, is the root: looking for a disk alone may cost one. It gives what was set, for recallHelper.
func dismissHelper() string {
	was, err := os.ReadFile(helperSetting)
	if err != nil {
		return "" // the kernel loads none
	}
	if err := (setting{helperSetting, "\n"}).Do(); err != nil {
		return ""
	}
	return string(was)
}

// recallHelper undoes dismissHelper: the root file system may have the program, and modules for it.
func recallHelper(log *agent.Log, was string) {
	if was == "" {
		return
	}
	if err := (setting{helperSetting, was}).Do(); err != nil {
		log.Printf("%s: %v", helperSetting, err)
	}
}
