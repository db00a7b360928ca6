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
