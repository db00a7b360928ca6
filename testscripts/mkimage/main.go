// Command mkimage writes an OCI archive of a busybox image, for the examples.
package main

import (
	"os"

	"microagent/testscripts/image"
)

func main() { os.Exit(image.Main(os.Args[1:], os.Stderr)) }
