// Command microagent-guest is init and agent of a guest: process 1 of its kernel, out of the initramfs.
package main

import (
	"fmt"
	"os"

	"microagent/runtime/guest/initd"
)

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "microagent-guest is the init of a microagent guest; it does nothing elsewhere")
		os.Exit(64)
	}
	initd.Run()
}
