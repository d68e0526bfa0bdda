package cli

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"

	"l7/app"
	"l7/config"
	"l7/signals"
)

// demoServers is how many servers the demo balances over.
const demoServers = 3

func demoCommand(p Process) *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "start three tiny servers and a load balancer in front of them",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "port", Aliases: []string{"p"}, Value: 8080, Usage: "listen on 127.0.0.1:`PORT`"},
		},
		Action: func(c *cli.Context) error {
			if port := c.Int("port"); port < 0 || port > 65535 {
				return usagef("cannot use %d for --port; want a number from 0 to 65535", port)
			}
			asked, stop := signals.Notify()
			defer stop()
			return runDemo(p, c.Int("port"), asked)
		},
	}
}

func runDemo(p Process, port int, asked signals.Asked) error {
	var servers []string
	for i := range demoServers {
		server, addr, err := startDemoServer(i + 1)
		if err != nil {
			return err
		}
		defer func() { _ = server.Close() }() // the process ends with it
		servers = append(servers, "*="+addr)
	}
	running, err := app.Start(demoSource(p, port, servers), newLog(p.Stderr), p.Stdout)
	if err != nil {
		return err
	}
	fmt.Fprintf(p.Stdout, "Three servers stand behind http://%s/. Try, a few times:\n\n    curl http://%[1]s/\n\nCtrl-C ends the demo.\n", running.Addrs()[0])
	return running.Run(asked)
}

// demoSource is the config of the demo. Nothing of the environment is part of it.
func demoSource(p Process, port int, servers []string) app.Source {
	environ := []string{"L7_LISTEN=" + net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	return app.Source{Args: config.Args{Servers: servers}, Environ: environ, Version: p.Version}
}

// startDemoServer starts a server that says who it is.
func startDemoServer(number int) (*http.Server, string, error) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", fmt.Errorf("cannot start demo server %d: %w", number, err)
	}
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Demo-Server", strconv.Itoa(number))
			fmt.Fprintf(w, "Hello from server %d at %s: you asked for %s\n", number, socket.Addr(), r.URL.RequestURI())
		}),
	}
	go func() {
		if err := server.Serve(socket); !errors.Is(err, http.ErrServerClosed) {
			panic("BUG: demo server: " + err.Error())
		}
	}()
	return server, socket.Addr().String(), nil
}
