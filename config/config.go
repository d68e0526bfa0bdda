// Package config turns arguments, environment and a YAML file into one plain Config.
//
// It opens no socket, starts nothing and imports nothing of ours: what the other packages make of a
// Config is their business. It reads exactly one file, the one it is given.
package config

import (
	"time"
)

// Config is everything that one run of l7 is told, with every default filled in.
// It is plain data: nobody changes it once Load has returned it.
//
// The tags are the table that Keys reads: koanf is the name; l7:"short" marks a key that stands for
// another one, l7:"main" the one that may stand for its whole section; range, enum and example speak
// for themselves.
type Config struct {
	// Port is short for listen: [':PORT'], on IPv4 and IPv6. It is 0 where Listen came from elsewhere.
	Port int `koanf:"port" l7:"short" range:"0-65535" example:"8080"`
	// Listen names the addresses that clients connect to: one, or a list. Default: ':80'.
	Listen []Listener `koanf:"listen"`
	// Users are the logins that may pass, with their passwords in plain text or hashed (`l7 passwd`).
	// They stand in front of every backend that has no users of its own.
	Users map[string]Secret `koanf:"users"`
	// UsersFile is an htpasswd file whose logins are added to users.
	UsersFile string `koanf:"users_file" example:"/etc/l7/htpasswd"`
	// Debug is short for log: {level: debug}.
	Debug bool `koanf:"debug" l7:"short"`
	// Log says what is logged.
	Log Log `koanf:"log"`
	// Timeouts bound each phase of a request.
	Timeouts Timeouts `koanf:"timeouts"`
	// Limits bound what clients and servers may send, and how many connections clients may open.
	Limits Limits `koanf:"limits"`
	// TrustedProxies are the addresses of the proxies in front of l7: what they say of the client is believed and
	// passed on. From everybody else the forwarding fields are dropped.
	TrustedProxies []Prefix `koanf:"trusted_proxies" example:"10.0.0.0/8"`
	// Forwarding names the fields that servers get beside X-Forwarded-For, X-Forwarded-Proto and X-Forwarded-Host.
	Forwarding []string `koanf:"forwarding" enum:"x-real-ip,x-forwarded-port,forwarded,via,x-request-id"`
	// Underscores lets fields pass whose names hold an underscore, which many servers cannot tell from a hyphen.
	Underscores bool `koanf:"underscores"`
	// Drain says how the process stops.
	Drain Drain `koanf:"drain"`
	// Backends are the groups of servers, by what selects them: "example.com", "*.example.com",
	// "example.com/api" (a path prefix on segment edges) or "*" (every other host).
	Backends map[string]Backend `koanf:"backends" example:"{example.com: {servers: [{address: '127.0.0.1:8081'}]}}"`
}

// Listener is one address that clients connect to.
type Listener struct {
	// Address is ':80' (IPv4 and IPv6), '127.0.0.1:80', '[::1]:80' or 'unix:/run/l7.sock'.
	Address ListenAddress `koanf:"address" l7:"main" example:"127.0.0.1:8080"`
}

// Log says what is logged, and how much of it.
type Log struct {
	// Level is the least important level that is written: debug, info, warn or error.
	Level string `koanf:"level" enum:"debug,info,warn,error"`
}

// Timeouts bound each phase of a request. Zero means no bound.
type Timeouts struct {
	// Header bounds the time from a request's first byte to the end of its header.
	Header time.Duration `koanf:"header"`
	// Body is how long a client may be silent in the middle of a request's body.
	Body time.Duration `koanf:"body"`
	// Idle is how long a client connection may stay open without a request.
	Idle time.Duration `koanf:"idle"`
	// Write is how long a client or a server may take nothing of what is sent to it.
	Write time.Duration `koanf:"write"`
	// Connect bounds the time until a connection to a server stands.
	Connect time.Duration `koanf:"connect"`
	// ResponseHeader bounds the time from the end of the request to the head of the server's response.
	ResponseHeader time.Duration `koanf:"response_header"`
	// Response is how long a server may be silent in the middle of a response's body.
	Response time.Duration `koanf:"response"`
	// Tunnel is how long an upgraded connection (WebSocket) may be silent in both directions.
	Tunnel time.Duration `koanf:"tunnel"`
	// ServerIdle is how long an unused connection to a server is kept.
	ServerIdle time.Duration `koanf:"server_idle"`
}

// Limits bound what clients and servers may send, and how many connections clients may open. Zero means no bound.
type Limits struct {
	// Body is the largest body of a request; a larger one is answered with 413.
	Body Size `koanf:"body" example:"10MiB"`
	// RequestLine is the longest request line: method, target and version; a longer one is answered with 414.
	RequestLine Size `koanf:"request_line" example:"16KiB"`
	// Header is the largest header of a request, all lines together; a larger one is answered with 431.
	Header Size `koanf:"header" example:"64KiB"`
	// Fields is the largest number of header lines of a request; more are answered with 431.
	Fields int `koanf:"fields" example:"128"`
	// ResponseHeader is the largest header of a server's response; a larger one is answered with 502.
	ResponseHeader Size `koanf:"response_header" example:"64KiB"`
	// Connections is how many client connections may be open; one more is answered with 503.
	Connections int `koanf:"connections" example:"50000"`
	// ConnectionsPerClient is how many of them one client address may have; one more is answered with 429.
	ConnectionsPerClient int `koanf:"connections_per_client" example:"200"`
}

// Drain says how the process stops.
type Drain struct {
	// Timeout is how long requests in flight may take to finish once the process was told to stop.
	Timeout time.Duration `koanf:"timeout"`
}

// Backend is a named group of servers.
type Backend struct {
	// Servers share the backend's requests. None at all is allowed and answers 503.
	Servers []Server `koanf:"servers"`
	// Hosts are further hosts that select the same backend, each with the same path prefix.
	Hosts []string `koanf:"hosts" example:"www.example.com"`
	// Users replace the global users for this backend; the empty map turns authentication off, nil keeps the global ones.
	Users map[string]Secret `koanf:"users"`
	// Upgrade names the protocols that a client may switch a connection to. The default is websocket, and [] is none.
	Upgrade []string `koanf:"upgrade" example:"websocket"`
}

// Server is one address in a backend.
type Server struct {
	// Address is 'http://10.0.0.4:8081', '//10.0.0.4:8081', '10.0.0.4:8081', a host name with or without
	// a port (80), or 'unix:/run/app.sock'.
	Address Address `koanf:"address" l7:"main" example:"http://10.0.0.4:8081"`
}

// Default is what every layer builds upon. It listens on nothing yet, which Load makes ':80', and has no backend.
func Default() Config {
	return Config{
		Log: Log{Level: "info"},
		Timeouts: Timeouts{
			Header:         10 * time.Second,
			Body:           30 * time.Second,
			Idle:           60 * time.Second,
			Write:          30 * time.Second,
			Connect:        2 * time.Second,
			ResponseHeader: 60 * time.Second,
			Response:       60 * time.Second,
			Tunnel:         time.Hour,
			ServerIdle:     60 * time.Second,
		},
		Limits: Limits{
			RequestLine:    8 << 10,
			Header:         32 << 10,
			Fields:         128,
			ResponseHeader: 64 << 10,
		},
		Drain: Drain{Timeout: 30 * time.Second},
	}
}

// DefaultBackend is what every backend builds upon. It has no servers.
func DefaultBackend() Backend { return Backend{Upgrade: []string{"websocket"}} }
