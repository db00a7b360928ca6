package qemu

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"microagent/ch/api"
)

// vmm is the state behind the API: at most one configuration and one VM of it.
type vmm struct {
	host       *host
	monitor    *monitor
	log        io.Writer
	noShutdown bool
	version    string // of QEMU
	pid        int

	work sync.WaitGroup // the goroutines that follow a QEMU
	quit chan int       // gets the exit code once; has room for it

	mu          sync.Mutex
	config      *api.VmConfig
	unsupported []string // keys of the configuration that nothing here honours
	ids         ids
	console     *serial
	instance    *instance
	quitting    bool
}

func (v *vmm) logf(format string, a ...any) {
	fmt.Fprintf(v.log, "microagent qemu: "+format+"\n", a...)
}

// create stores a configuration and opens the serial port's host side. It checks nothing else.
func (v *vmm) create(c api.VmConfig, unsupported []string) error {
	if v.config != nil {
		return because(textAlreadyCreated)
	}
	c = withDefaults(c)
	v.config, v.unsupported, v.ids = &c, unsupported, ids{}
	// A failure leaves the configuration stored, as the real program does: the client must delete.
	if c.Console.Mode == api.ConsoleModeSocket {
		return because("Error creating console devices", "No socket option support for console device")
	}
	var err error
	v.console, err = openSerial(*c.Serial)
	return err
}

// boot starts the guest.
func (v *vmm) boot() error {
	if v.instance != nil {
		return because(textAlreadyCreated)
	}
	v.monitor.emit("vm", "booting", nil)
	if v.config == nil {
		return because(textMissingConfig)
	}
	if err := v.bring(nil); err != nil {
		return err
	}
	v.monitor.emit("vm", "booted", nil)
	return nil
}

// bring builds an instance from the configuration and starts it, as a copy of from unless that is nil.
func (v *vmm) bring(from *source) error {
	if err := v.check(*v.config); err != nil {
		return err
	}
	v.ids.fill(v.config)
	var m *instance
	m, err := build(v.host, *v.config, func() { v.work.Go(func() { v.relink(m) }) }, func() { v.monitor.emit("virtio-device", "greeted", map[string]string{"id": "agent"}) })
	if err != nil {
		return err
	}
	if from != nil {
		from.settle(m)
	}
	for i, d := range m.disks {
		v.config.Disks[i] = d.config
	}
	v.instance = m
	if err := m.start(v.host, *v.config, v.console, from); err != nil {
		return err
	}
	v.work.Go(func() { v.follow(m) })
	return nil
}

// check is validate with what only the body's text showed.
func (v *vmm) check(c api.VmConfig) error {
	if err := validate(c); err != nil {
		return err
	}
	if len(v.unsupported) > 0 {
		return unsupported(v.unsupported[0])
	}
	return nil
}

// drop ends the VM and keeps the configuration.
func (v *vmm) drop() {
	if v.instance == nil {
		return
	}
	m := v.instance
	v.instance = nil
	if err := m.release(); err != nil {
		v.logf("release the VM: %v", err)
	}
}

// shutdown stops the guest at once.
func (v *vmm) shutdown() error {
	if v.instance == nil {
		return because(textNotRunning)
	}
	v.drop()
	if v.console != nil {
		if err := v.console.restart(); err != nil {
			v.logf("start the console file over: %v", err)
		}
	}
	v.monitor.emit("vm", "shutdown", nil)
	return nil
}

// delete forgets everything.
func (v *vmm) delete() error {
	if v.config == nil {
		return nil
	}
	if v.instance != nil {
		v.drop()
		v.monitor.emit("vm", "shutdown", nil)
	}
	v.config, v.unsupported = nil, nil
	err := error(nil)
	if v.console != nil {
		err = v.console.close()
		v.console = nil
	}
	v.monitor.emit("vm", "deleted", nil)
	return err
}

// reboot starts over from the configuration as it is now. It also retries a boot whose last steps failed.
func (v *vmm) reboot() error {
	v.monitor.emit("vm", "rebooting", nil)
	if v.instance == nil {
		return because(textNotCreated)
	}
	v.drop()
	if v.console != nil {
		if err := v.console.restart(); err != nil {
			return wrap(err, "Error creating console devices")
		}
	}
	if err := v.bring(nil); err != nil {
		v.drop()
		return err
	}
	v.monitor.emit("vm", "rebooted", nil)
	return nil
}

// end makes the process end with code, after everything was released.
func (v *vmm) end(code int) {
	if v.quitting {
		return
	}
	v.quitting = true
	if err := v.delete(); err != nil {
		v.logf("delete the VM: %v", err)
	}
	v.monitor.emit("vmm", "shutdown", nil)
	v.quit <- code
}

// locked runs f with the state locked.
func (v *vmm) locked(f func() error) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.quitting {
		return errors.New("the VMM is shutting down")
	}
	return f()
}

// commandTimeout bounds one command to QEMU. A guest can't hold it up.
const commandTimeout = 20 * time.Second
