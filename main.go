// l7 balances HTTP/1.1 requests over a set of servers.
package main

import (
	"os"

	"l7/cli"
)

// version is stamped by the build: -ldflags "-X main.version=v1.2.3".
var version string

func main() {
	os.Exit(cli.Run(os.Args, cli.Process{
		Version: version,
		Environ: os.Environ(),
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
	}))
}
