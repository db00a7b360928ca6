// Command microagent runs sandboxes in microVMs from a file that is checked in next to the code.
package main

import (
	"os"

	"microagent/cmd/microagent/cli"
	"microagent/runtime/guest/payload"
)

func main() { os.Exit(cli.Program{Guest: payload.Guest}.Main(os.Args[1:]...)) }
