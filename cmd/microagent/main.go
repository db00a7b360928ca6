// Command microagent runs sandboxes in microVMs from a file that is checked in next to the code.
package main

import (
	"os"

	"microagent/cmd/microagent/cli"
)

func main() { os.Exit(cli.Main(os.Args[1:]...)) }
