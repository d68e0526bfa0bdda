//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// contestant is one of those that are compared.
type contestant struct {
	name    string
	rival   bool // nginx or HAProxy
	maxHead int  // the largest request head, in bytes, that it takes as configured
	version []string
	argv    func(l *lab, s setup) ([]string, error)
}

// setup is what a contestant is started with.
type setup struct {
	listen, origin string
	connections    int // of clients, at the same time
	forwarding     bool
	secure         *identity // TLS towards clients; nil is none
}

// instance is a contestant that runs in front of an origin.
type instance struct {
	*contestant
	*process
	addr   string
	secure *identity
}

// contestants finds or builds the binaries.
func (l *lab) contestants(ctx context.Context, o options) ([]*contestant, error) {
	var field []*contestant
	for _, name := range strings.FieldsFunc(o.rivals, func(r rune) bool { return r == ',' }) {
		path, err := find(name)
		if err != nil {
			return nil, err
		}
		switch name {
		case "nginx":
			field = append(field, nginx(path))
		case "haproxy":
			field = append(field, haproxy(path))
		default:
			return nil, fmt.Errorf("-rivals: %q is neither nginx nor haproxy", name)
		}
	}
	versions := o.l7
	if len(versions) == 0 {
		path := filepath.Join(l.dir, "l7")
		if err := build(ctx, path); err != nil {
			return nil, err
		}
		versions = binaries{{"l7", path}}
	}
	for _, v := range versions {
		path, err := exec.LookPath(v.path)
		if err != nil {
			return nil, fmt.Errorf("cannot use -l7 %q: %w", v.path, err)
		}
		field = append(field, l7(v.name, path))
	}
	return field, nil
}

// find looks where administrators' programs are too, which is not in everybody's PATH.
func find(program string) (string, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	if err != nil {
		return "", fmt.Errorf("cannot find %s (Debian: apt-get install nginx haproxy wrk): %w", program, err)
	}
	return path, nil
}

// build builds l7 from the module that the working directory is in, the way the Makefile does.
func build(ctx context.Context, path string) error {
	gomod, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return fmt.Errorf("cannot find the module: %w", err)
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", path, ".")
	cmd.Dir = filepath.Dir(strings.TrimSpace(string(gomod)))
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("cannot build l7 in %q (-l7 PATH uses a given binary): %w\n%s", cmd.Dir, err, out)
	}
	return nil
}

// launch starts a contestant in front of an origin.
func (l *lab) launch(ctx context.Context, c *contestant, s setup) (*instance, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	s.listen = addr
	argv, err := c.argv(l, s)
	if err != nil {
		return nil, err
	}
	p, err := l.start(ctx, c.name, argv...)
	if err != nil {
		return nil, err
	}
	return &instance{c, p, addr, s.secure}, p.await(ctx, addr)
}

// l7 runs with its defaults, from arguments alone; TLS wants a file.
func l7(name, path string) *contestant {
	return &contestant{
		name:    name,
		maxHead: 31 << 10,
		version: []string{path, "version"},
		argv: func(l *lab, s setup) ([]string, error) {
			if s.secure != nil {
				conf, err := l.write("l7.yml", s.secure.l7(s))
				return []string{path, "--config", conf}, err
			}
			_, port, _ := strings.Cut(s.listen, ":")
			return []string{path, "--port", port, "*=" + s.origin}, nil
		},
	}
}

// nginx and HAProxy are set up for keep-alive on both sides, without logs, and otherwise run as they come.

func nginx(path string) *contestant {
	return &contestant{
		name:    "nginx",
		rival:   true,
		maxHead: 30 << 10, // large_client_header_buffers 4 8k
		version: []string{path, "-v"},
		argv: func(l *lab, s setup) ([]string, error) {
			forwarding := ""
			if s.forwarding {
				forwarding = `
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $http_host;`
			}
			return l.nginxArgs(path, "auto", s.connections, fmt.Sprintf(`
  keepalive_timeout 600s;
  client_max_body_size 0;
  upstream origin {
    server %s;
    keepalive 128;
    keepalive_requests 1000000000;
  }
  server {
    listen %s backlog=4096%s;
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";%s
    }
  }`, s.origin, s.listen, s.secure.nginx(), forwarding))
		},
	}
}

// nginxArgs writes a config around the given part of the http block. All that nginx writes stays in the lab.
func (l *lab) nginxArgs(path, workers string, connections int, http string) ([]string, error) {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // the lab is ours alone
	}
	tmp := l.path("nginx")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make a directory for nginx: %w", err)
	}
	conf, err := l.write("nginx.conf", fmt.Sprintf(`
daemon off; %[1]s
worker_processes %[2]s;
pid %[3]s/pid;
error_log stderr error;
worker_rlimit_nofile %[4]d;
events { worker_connections %[5]d; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path %[3]s/body;
  proxy_temp_path %[3]s/proxy;
  fastcgi_temp_path %[3]s/fastcgi;
  uwsgi_temp_path %[3]s/uwsgi;
  scgi_temp_path %[3]s/scgi;%[6]s
}
`, user, workers, tmp, filesFor(connections), connections+1024, http))
	if err != nil {
		return nil, err
	}
	// -e: else the compiled-in error log is opened first, which only root may.
	return []string{path, "-p", tmp, "-e", "stderr", "-c", conf}, nil
}

func haproxy(path string) *contestant {
	return &contestant{
		name:    "haproxy",
		rival:   true,
		maxHead: 14 << 10, // tune.bufsize 16384 less tune.maxrewrite 1024
		version: []string{path, "-v"},
		argv: func(l *lab, s setup) ([]string, error) {
			forwarding := ""
			if s.forwarding {
				forwarding = `
  option forwardfor
  http-request set-header X-Forwarded-Proto ` + s.secure.scheme() + `
  http-request set-header X-Forwarded-Host %[req.hdr(host)]`
			}
			conf, err := l.write("haproxy.cfg", fmt.Sprintf(`
global
  nbthread %d
  maxconn %d
  ulimit-n %d
  no strict-limits
defaults
  mode http
  option http-keep-alive
  http-reuse always
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
frontend in
  bind %s backlog 4096%s%s
  default_backend origin
backend origin
  server origin %s
`, runtime.NumCPU(), s.connections+1024, filesFor(s.connections), s.listen, s.secure.haproxy(), forwarding, s.origin))
			return []string{path, "-db", "-f", conf}, err
		},
	}
}

// describeMachine prints what the figures hold for.
func describeMachine(ctx context.Context, w io.Writer, field []*contestant) {
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	fmt.Fprintf(w, "%s, %d CPUs, Linux %s, load before %s\n", time.Now().UTC().Format("2006-01-02 15:04 MST"),
		runtime.NumCPU(), strings.TrimSpace(string(kernel)), loadAverage())
	for _, c := range field {
		said, _ := exec.CommandContext(ctx, c.version[0], c.version[1:]...).CombinedOutput()
		line, _, _ := strings.Cut(strings.TrimSpace(string(said)), "\n")
		fmt.Fprintf(w, "%-8s %s\n", c.name, line)
	}
}

func loadAverage() string {
	load, _ := os.ReadFile("/proc/loadavg")
	return strings.TrimSpace(string(load))
}
