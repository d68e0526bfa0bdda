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
// another one, l7:"main" the one that may stand for its whole section, which is nothing without it, l7:"alone" one that may and need not be there; range, enum and example speak
// for themselves, and hint is what somebody may have meant by another value.
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
	// Admin says where the running process can be asked and told things.
	Admin Admin `koanf:"admin"`
	// Resolver are the DNS servers that servers' names are asked for, with their ports; none: the system's resolver.
	Resolver []DNSServer `koanf:"resolver" example:"10.0.0.2:53"`
	// ResolveInterval is how often a name is looked up anew where nobody tells how long an answer holds, from 1s to 1h.
	ResolveInterval time.Duration `koanf:"resolve_interval"`
	// HSTS tells browsers to use https alone for so long (Strict-Transport-Security), on TLS listeners; 0s: nothing is said.
	HSTS time.Duration `koanf:"hsts"`
	// Watch reloads the config when its file changes.
	Watch bool `koanf:"watch"`
	// Drain says how the process stops.
	Drain Drain `koanf:"drain"`
	// Expect are requests with what has to become of them: a config in which one does not come true is refused.
	Expect []Expect `koanf:"expect"`
	// Backends are the groups of servers, by what selects them: "example.com", "*.example.com",
	// "example.com/api" (a path prefix on segment edges) or "*" (every other host).
	Backends map[string]Backend `koanf:"backends" example:"{example.com: {servers: [{address: '127.0.0.1:8081'}]}}"`
}

// Listener is one address that clients connect to.
type Listener struct {
	// Address is ':80' (IPv4 and IPv6), '127.0.0.1:80', '[::1]:80', 'unix:/run/l7.sock', or 'fd://3' for a socket that systemd has opened.
	Address ListenAddress `koanf:"address" l7:"main" example:"127.0.0.1:8080"`
	// TLS has clients speak TLS. Without a certificate the listener is plain.
	TLS TLS `koanf:"tls"`
	// ProxyProtocol takes a PROXY header (v1 or v2) before all else on each connection from trusted addresses, and refuses it from others.
	ProxyProtocol ProxyProtocol `koanf:"proxy_protocol"`
	// RedirectHTTPS answers every request with 308 to the same URL with https, but for those that have come to a trusted proxy by it.
	RedirectHTTPS bool `koanf:"redirect_https"`
	// Allow are the addresses that may connect; none: all.
	Allow []Prefix `koanf:"allow" example:"10.0.0.0/8"`
	// Deny are addresses that may not connect, also where allow has them.
	Deny []Prefix `koanf:"deny" example:"192.0.2.0/24"`
	// Mode is who may connect to a unix socket, as in chmod; empty: what the umask leaves.
	Mode string `koanf:"mode" example:"0660"`
	// Owner is whom a unix socket belongs to: a user, a user and a group, or a group (':web'), by name or number; empty: l7's own.
	Owner string `koanf:"owner" example:"l7:web"`
}

// TLS is how clients speak TLS.
type TLS struct {
	// Certificate is self for one that is made at the start, for development.
	Certificate string `koanf:"certificate" l7:"alone" enum:",self" hint:"files are written as certificates: [{cert: FILE, key: FILE}]"`
	// Certificates are pairs of files; the one whose names match is used, or else the first.
	Certificates []Certificate `koanf:"certificates"`
	// ACME has certificates made by an authority that speaks ACME, as Let's Encrypt does.
	ACME ACME `koanf:"acme"`
	// StrictSNI refuses a client that names a host that no certificate is for.
	StrictSNI bool `koanf:"strict_sni"`
	// MinVersion is the oldest version that is spoken.
	MinVersion string `koanf:"min_version" enum:"1.2,1.3"`
	// CipherSuites are those of TLS 1.2, by their IANA names; none: those with forward secrecy and AEAD.
	CipherSuites []string `koanf:"cipher_suites" example:"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"`
	// ClientAuth asks clients for a certificate of their own, or requires one.
	ClientAuth string `koanf:"client_auth" enum:"off,request,require"`
	// ClientCA is a file with the certificates of those who may sign clients' certificates.
	ClientCA string `koanf:"client_ca" example:"/etc/l7/clients.pem"`
	// ClientCRL is a file with the certificates that they have revoked.
	ClientCRL string `koanf:"client_crl" example:"/etc/l7/clients.crl"`
}

// ACME is how certificates are got from an authority. To use it is to agree to the authority's terms.
type ACME struct {
	// Email is where the authority writes to.
	Email string `koanf:"email" example:"admin@example.com"`
	// CA is the URL of the authority's directory; empty: Let's Encrypt.
	CA string `koanf:"ca" example:"https://ca.internal/acme/directory"`
	// CARoot is a file with the certificate that ca's own is verified by; empty: the system's.
	CARoot string `koanf:"ca_root" example:"/etc/l7/ca-root.pem"`
	// Storage is a folder for the account, the certificates and their keys. Instances that share clients share it.
	Storage string `koanf:"storage" example:"/var/lib/l7/acme"`
	// Hosts are those that certificates are wanted for; none: all hosts of backends but wildcards and addresses.
	Hosts []string `koanf:"hosts" example:"example.com"`
	// Challenges are the ways to show that a host is ours: by port 80 or 443, as the authority sees them; none: both.
	Challenges []string `koanf:"challenges" enum:"http-01,tls-alpn-01"`
}

// Certificate is a pair of files in PEM.
type Certificate struct {
	// Cert is the certificate with those that lead to its root.
	Cert string `koanf:"cert" example:"/etc/l7/example.com.pem"`
	// Key is its private key.
	Key string `koanf:"key" example:"/etc/l7/example.com.key"`
}

// ProxyProtocol is the header that a balancer in front of l7 writes (haproxy.org, proxy-protocol.txt).
type ProxyProtocol struct {
	// Trusted are the addresses whose header is taken; from them there has to be one. None: there are no headers.
	Trusted []Prefix `koanf:"trusted" l7:"main" example:"10.0.0.0/8"`
}

// ServerTLS is how https servers are spoken to.
type ServerTLS struct {
	// CAFile has the certificates of those who may sign the servers' certificates; empty: the system's.
	CAFile string `koanf:"ca_file" example:"/etc/l7/internal-ca.pem"`
	// ServerName is the name that the certificate has to be for; empty: the server's own.
	ServerName string `koanf:"server_name" example:"api.internal"`
	// Cert and Key are the files of a certificate that l7 shows the servers.
	Cert string `koanf:"cert" example:"/etc/l7/client.pem"`
	// Key is the private key of cert.
	Key string `koanf:"key" example:"/etc/l7/client.key"`
	// InsecureSkipVerify believes every certificate: whoever is on the way can read and change everything.
	InsecureSkipVerify bool `koanf:"insecure_skip_verify"`
}

// Log says what is logged, and how much of it.
type Log struct {
	// Level is the least important level that is written: debug, info, warn or error.
	Level string `koanf:"level" enum:"debug,info,warn,error"`
	// Access is the format of the access log, a line for each request: off, json, logfmt or clf (Apache's combined format).
	Access string `koanf:"access" enum:"off,json,logfmt,clf"`
	// AccessFile is where the access log goes; '-' is standard output. A file is opened anew on HUP.
	AccessFile string `koanf:"access_file" example:"/var/log/l7/access.log"`
	// AccessSample is how many of the requests are logged; those that failed are always.
	AccessSample Percent `koanf:"access_sample" example:"10%"`
	// AccessSlow keeps all but requests that took at least so long, or failed, out of the access log; 0s: none.
	AccessSlow time.Duration `koanf:"access_slow"`
	// AccessRedact names the keys of a URL's query whose values are not logged.
	AccessRedact []string `koanf:"access_redact" example:"token"`
}

// Admin says where the running process can be asked and told things.
type Admin struct {
	// Socket is a unix socket for the commands that talk to the running process. Empty: /run/l7/admin.sock, or when not root l7/admin.sock
	// under XDG_RUNTIME_DIR, or else /tmp/l7-UID/admin.sock; off: none.
	Socket string `koanf:"socket" example:"/run/l7/admin.sock"`
	// Listen is an address for the status page, the metrics and the API; empty: none. One beyond loopback needs users.
	Listen string `koanf:"listen" example:"127.0.0.1:9901"`
	// Users are the logins that may use Listen, with their passwords in plain text or hashed (`l7 passwd`). None: whoever can connect may
	// look, and change nothing.
	Users map[string]Secret `koanf:"users"`
	// Pprof offers Go's profiles under /debug/pprof.
	Pprof bool `koanf:"pprof"`
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
	// Request bounds the time from the queue to the head of the response, all attempts together; 0s: no bound.
	Request time.Duration `koanf:"request"`
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
	// Delay is how long requests are still taken once the process was told to stop, while /readyz says that it is about to.
	Delay time.Duration `koanf:"delay"`
	// Timeout is how long requests in flight may take to finish once the process was told to stop.
	Timeout time.Duration `koanf:"timeout"`
}

// Backend is a named group of servers.
type Backend struct {
	// TLS is how its https servers are spoken to.
	TLS ServerTLS `koanf:"tls"`
	// Allow are the client addresses that may use it; none: all. Others are answered 403.
	Allow []Prefix `koanf:"allow" example:"10.0.0.0/8"`
	// Deny are client addresses that may not use it, also where allow has them.
	Deny []Prefix `koanf:"deny" example:"192.0.2.0/24"`
	// Servers share the backend's requests. None at all is allowed and answers 503.
	Servers []Server `koanf:"servers"`
	// SendProxy begins each connection to a server with a PROXY header that tells of the client's connection (haproxy.org,
	// proxy-protocol.txt), of version v1 or v2; empty: none. Such a connection is for one request.
	SendProxy string `koanf:"send_proxy" enum:",v1,v2"`
	// Hosts are further hosts that select the same backend, each with the same path prefix.
	Hosts []string `koanf:"hosts" example:"www.example.com"`
	// Users replace the global users for this backend; the empty map turns authentication off, nil keeps the global ones.
	Users map[string]Secret `koanf:"users"`
	// Upgrade names the protocols that a client may switch a connection to. The default is websocket, and [] is none.
	Upgrade []string `koanf:"upgrade" example:"websocket"`
	// Policy says how a server is picked for a request.
	Policy string `koanf:"policy" enum:"least_loaded,round_robin,random_two,least_time,consistent_hash,first"`
	// Hash says what the policy consistent_hash goes by.
	Hash Hash `koanf:"hash"`
	// Sticky keeps a client at the server that it had before, by a cookie.
	Sticky Sticky `koanf:"sticky"`
	// Health asks each server now and then whether it is well. Without a path nobody is asked.
	Health Health `koanf:"health"`
	// Eject keeps a server out for a time that fails request after request.
	Eject Eject `koanf:"eject"`
	// Retry says when a request that failed at one server is tried at another.
	Retry Retry `koanf:"retry"`
	// Queue is where requests wait while every server has as many as its caps allow.
	Queue Queue `koanf:"queue"`
	// RateLimit bounds how many requests are taken; one more is answered with 429.
	RateLimit RateLimit `koanf:"rate_limit"`
	// SlowStart is how long a server that has recovered or is new takes to get its full share.
	SlowStart time.Duration `koanf:"slow_start" example:"30s"`
	// AllDown says what becomes of requests when no server is available: fail (503) or serve (try one all the same).
	AllDown string `koanf:"all_down" enum:"fail,serve"`
}

// Hash says what the policy consistent_hash goes by.
type Hash struct {
	// On is one of client_ip, path, header:NAME and cookie:NAME. Requests that do not have it are spread evenly.
	On HashOn `koanf:"on" l7:"main" example:"header:X-User"`
}

// Sticky keeps a client at a server. Without a cookie nobody is kept.
type Sticky struct {
	// Cookie is the name of the cookie.
	Cookie string `koanf:"cookie" l7:"main" example:"l7"`
	// Secret signs the cookie: the same for all instances that share clients. The default is random.
	Secret Secret `koanf:"secret" example:"a long random text"`
}

// Health is a check that is made of each server of a backend.
type Health struct {
	// Path is what is asked for, with its query. Without it there is no check.
	Path string `koanf:"path" l7:"main" example:"/healthz"`
	// Interval is the time from one check of a server to the next.
	Interval time.Duration `koanf:"interval"`
	// Timeout bounds a check, the connect included.
	Timeout time.Duration `koanf:"timeout"`
	// Rise is how many good checks in a row make a server healthy.
	Rise int `koanf:"rise" range:"1-100"`
	// Fall is how many bad checks in a row make it unhealthy.
	Fall int `koanf:"fall" range:"1-100"`
	// Status is the status or the range of them that is good.
	Status StatusRange `koanf:"status" example:"200-399"`
	// Method is the method of the check.
	Method string `koanf:"method" example:"HEAD"`
	// Host is the Host of the check; the default is the server's address.
	Host string `koanf:"host" example:"example.com"`
	// Port is where the check connects to; 0 is the server's own.
	Port int `koanf:"port" range:"0-65535" example:"9000"`
	// Body is a regular expression that the response's body has to match; empty: any.
	Body string `koanf:"body" example:"^ok"`
	// Jitter is how far an interval may be off, at random, so that checks do not come all at once.
	Jitter Percent `koanf:"jitter" example:"10%"`
	// Required keeps a server out until its first good check. Otherwise those that are there at start serve meanwhile.
	Required bool `koanf:"required"`
}

// Eject keeps a server out for a time that fails request after request.
type Eject struct {
	// After is how many failures in a row it takes; 0: nobody is ejected.
	After int `koanf:"after" range:"0-1000" example:"3"`
	// Time is how long the first ejection lasts. Each that follows soon lasts twice as long.
	Time time.Duration `koanf:"time"`
	// Max is the longest ejection.
	Max time.Duration `koanf:"max"`
	// MaxPercent is how much of a backend may be ejected at the same time. One that cannot even be connected to does not count.
	MaxPercent int `koanf:"max_percent" range:"0-100" example:"50"`
	// Statuses are the statuses of responses that count as failures.
	Statuses []StatusRange `koanf:"statuses" example:"500-599"`
}

// Retry says when a request that failed at one server is tried at another.
type Retry struct {
	// Retries is how many further servers are tried at most.
	Retries int `koanf:"retries" range:"0-10" example:"2"`
	// On are the statuses of responses after which an idempotent request is tried elsewhere.
	On []StatusRange `koanf:"on" example:"502-504"`
	// Buffer is how much of a request's body is kept for another try.
	Buffer Size `koanf:"buffer" example:"16KiB"`
	// Budget is how many of the requests may be retries; 10 a second may be in any case. A request that could not be sent is no retry.
	Budget Percent `koanf:"budget" example:"20%"`
}

// Queue is where requests wait while every server has as many as its caps allow.
type Queue struct {
	// Length is how many requests may wait; 0: none, and one too many is answered with 503.
	Length int `koanf:"length" range:"0-1000000" example:"100"`
	// Timeout is how long one waits; 0s: without a bound.
	Timeout time.Duration `koanf:"timeout"`
}

// RateLimit bounds how many requests are taken. Without requests there is no bound.
type RateLimit struct {
	// Requests is how many in how long a time.
	Requests Rate `koanf:"requests" l7:"main" example:"100/s"`
	// Burst is how many may come at once; 0: as many as requests says.
	Burst int `koanf:"burst" range:"0-10000000" example:"200"`
	// Key is who shares one limit: each client_ip has its own, or the whole backend has one.
	Key string `koanf:"key" enum:"client_ip,backend"`
}

// Server is one address in a backend.
type Server struct {
	// Address is 'http://10.0.0.4:8081', '//10.0.0.4:8081', '10.0.0.4:8081', a host name with or without
	// a port (80), or 'unix:/run/app.sock'.
	Address Address `koanf:"address" l7:"main" example:"http://10.0.0.4:8081"`
	// Weight is its share beside the others' weights; 0: it gets no new work.
	Weight int `koanf:"weight" range:"0-1000" example:"2"`
	// Backup servers get work only while no other is available.
	Backup bool `koanf:"backup"`
	// MaxConnections is how many connections to it may be open; 0: any number.
	MaxConnections int `koanf:"max_connections" range:"0-1000000" example:"200"`
	// MaxIdle is how many of them are kept while unused; 0: any number.
	MaxIdle int `koanf:"max_idle" range:"0-1000000" example:"20"`
	// MaxInFlight is how many of the backend's requests it may have at the same time; 0: any number.
	MaxInFlight int `koanf:"max_in_flight" range:"0-1000000" example:"100"`
}

// Default is what every layer builds upon. It listens on nothing yet, which Load makes ':80', and has no backend.
func Default() Config {
	return Config{
		Log: Log{Level: "info", Access: "off", AccessFile: "-", AccessSample: 100},
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
		Drain:           Drain{Timeout: 30 * time.Second},
		ResolveInterval: 10 * time.Second,
	}
}

// DefaultBackend is what every backend builds upon. It has no servers.
func DefaultBackend() Backend {
	return Backend{
		Upgrade:   []string{"websocket"},
		Policy:    "least_loaded",
		Hash:      Hash{On: HashOn{Part: "client_ip"}},
		Health:    Health{Interval: 5 * time.Second, Timeout: 2 * time.Second, Rise: 2, Fall: 3, Status: StatusRange{200, 399}, Method: "GET", Jitter: 10},
		Eject:     Eject{After: 3, Time: 5 * time.Second, Max: 2 * time.Minute, MaxPercent: 50},
		Retry:     Retry{Retries: 2, Buffer: 16 << 10, Budget: 20},
		Queue:     Queue{Timeout: time.Second},
		RateLimit: RateLimit{Key: "client_ip"},
		AllDown:   "fail",
	}
}

// DefaultListener is what every listener builds upon. It has no address.
func DefaultListener() Listener { return Listener{TLS: TLS{MinVersion: "1.2", ClientAuth: "off"}} }

// DefaultServer is what every server builds upon. It has no address.
func DefaultServer() Server { return Server{Weight: 1} }

// Expect is a request and what has to become of it.
type Expect struct {
	// Request is a method and a URL. It comes without credentials.
	Request string `koanf:"request" l7:"main" example:"GET https://example.com/api/x"`
	// Backend is the one that the request has to be routed to; empty: any, and where a status is given none will do.
	Backend string `koanf:"backend" example:"example.com/api"`
	// Status is what l7 has to answer by itself, as in 401 or 404; 200: it passes the request on. 0: either.
	Status int `koanf:"status" range:"0-599" example:"200"`
}
