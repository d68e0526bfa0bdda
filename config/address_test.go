package config

import (
	"strings"
	"testing"
)

func TestParseAddress(t *testing.T) {
	f := func(text, want, network, dial string) {
		t.Helper()
		address, err := ParseAddress(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
			return
		}
		if address.String() != want || address.Network() != network || address.Dial() != dial {
			t.Errorf("%q: got %s, %s %s; want %s, %s %s", text, address, address.Network(), address.Dial(), want, network, dial)
		}
	}
	f("http://192.168.0.103:8081", "http://192.168.0.103:8081", "tcp", "192.168.0.103:8081")
	f("//192.168.0.103:8082", "http://192.168.0.103:8082", "tcp", "192.168.0.103:8082")
	f("127.0.0.1:8081", "http://127.0.0.1:8081", "tcp", "127.0.0.1:8081")
	f("http://nginx", "http://nginx:80", "tcp", "nginx:80")
	f("nginx", "http://nginx:80", "tcp", "nginx:80")
	f("HTTP://Nginx.Example.COM/", "http://nginx.example.com:80", "tcp", "nginx.example.com:80")
	f("app_1.internal.:0080", "http://app_1.internal.:80", "tcp", "app_1.internal.:80")
	f("4you.example:65535", "http://4you.example:65535", "tcp", "4you.example:65535")
	f("[::1]:8080", "http://[::1]:8080", "tcp", "[::1]:8080")
	f("http://[2001:DB8:0::1]", "http://[2001:db8::1]:80", "tcp", "[2001:db8::1]:80")
	f("[fe80::1%eth0]:81", "http://[fe80::1%eth0]:81", "tcp", "[fe80::1%eth0]:81")
	f("[::ffff:10.0.0.4]:81", "http://10.0.0.4:81", "tcp", "10.0.0.4:81")
	f("unix:/run/app.sock", "unix:/run/app.sock", "unix", "/run/app.sock")
	f("unix:///run//x/../app@1.sock", "unix:/run/app@1.sock", "unix", "/run/app@1.sock")
}

func TestParseAddressErrors(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		address, err := ParseAddress(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v; want %q in it", text, err, want)
		}
		if address != (Address{}) {
			t.Errorf("%q: an error, and the address %v", text, address)
		}
	}
	f("", "host is missing")
	f("//", "host is missing")
	f("http:///", "host is missing")
	f(":80", "host is missing")
	f("a:", "bad port")
	f("a:0", "bad port")
	f("a:65536", "bad port")
	f("a:+80", "bad port")
	f("a:http", "bad port")
	f("a:80/x", "path, query or fragment")
	f("a?x", "path, query or fragment")
	f("a b", "bad byte ' '")
	f("ü", "bad byte")
	f("a..b", "between dots")
	f(".", "between dots")
	f(strings.Repeat("a", 64), "more than 63")
	f(strings.Repeat("a.", 127), "names end at 253")
	f("10.0.0", "not an IPv4 address")
	f("10.0.0.256:80", "not an IPv4 address")
	f("010.0.0.1", "not an IPv4 address")
	f("::1", "needs brackets")
	f("[::1", "brackets do not match")
	f("[::1]8080", "brackets do not match")
	f("[10.0.0.1]", "not an IPv6 address")
	f("[]", "not an IPv6 address")
	f("[fe80::1%a b]", "bad byte ' ' in the zone")
	f("ftp://a", "unknown scheme")
	f("unix:", "absolute path")
	f("unix:run/app.sock", "absolute path")
	f("unix:/", "names a directory")
	f("unix:/run/", "names a directory")
	f("unix:/run/a\nb", "control byte")
	f("unix:/"+strings.Repeat("a", 107), "108 bytes")
	f("http://user:pw@a", "user information")
	f("https://user:pw@a", "user information")
	f("fd://3", "a descriptor is for listen")
}

// What stands before an '@' can be a password: `https://user:pw@host` was once shown whole.
func TestAddressErrorsShowNoUser(t *testing.T) {
	for _, text := range []string{"https://u:hunter2@a", "http://u:hunter2@a", "u:hunter2@a", "unix:u:hunter2@a", "ftp://hunter2@"} {
		_, err := ParseAddress(text)
		_, listenErr := ParseListenAddress(text)
		if strings.Contains(err.Error()+listenErr.Error(), "hunter2") {
			t.Errorf("%v; %v", err, listenErr)
		}
	}
}

func TestParseListenAddress(t *testing.T) {
	f := func(text, network, addr, canonical string) {
		t.Helper()
		address, err := ParseListenAddress(text)
		if err != nil || address != (ListenAddress{network, addr}) || address.String() != canonical {
			t.Errorf("%q: got %+v %q, %v", text, address, address.String(), err)
		}
	}
	f(":80", "tcp", ":80", ":80")
	f(":0", "tcp", ":0", ":0")
	f("127.0.0.1:080", "tcp", "127.0.0.1:80", "127.0.0.1:80")
	f("LocalHost:80", "tcp", "localhost:80", "localhost:80")
	f("[::0]:0", "tcp", "[::]:0", "[::]:0")
	f("[fe80::1%eth0]:80", "tcp", "[fe80::1%eth0]:80", "[fe80::1%eth0]:80")
	f("unix:///run/l7.sock", "unix", "/run/l7.sock", "unix:/run/l7.sock")
	f("fd://03", "fd", "3", "fd://3")
}

func TestParseListenAddressErrors(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		address, err := ParseListenAddress(text)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "cannot listen on ") {
			t.Errorf("%q: error is %v; want %q in it", text, err, want)
		}
		if address != (ListenAddress{}) {
			t.Errorf("%q: an error, and the address %v", text, address)
		}
	}
	f("", "port is missing")
	f("localhost", "port is missing")
	f("80", "':80'")
	f(":", "bad port")
	f(":65536", "bad port")
	f("*:80", "bad byte '*'")
	f("::1:0", "needs brackets")
	f("a b:0", "bad byte")
	f("http://a:80", "has no scheme")
	f("http://:80", "a listener has no scheme; write ':80'")
	f("//:80", "has no scheme")
	f("unix:l7.sock", "absolute path")
	f("fd://", "number of a descriptor")
	f("fd://2", "from 3 on")
	f("fd://70000", "number of a descriptor")
}

func FuzzParseAddress(f *testing.F) {
	for _, text := range []string{
		"http://192.168.0.103:8081", "//a", "A.b.", "[::1]:80", "[fe80::1%eth0]", "[::ffff:1.2.3.4]:1",
		"unix:///run/../a.sock", "https://a", "1.2.3.4.", "u:hunter2@h", ":0", "127.0.0.1:0",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if address, err := ParseAddress(text); err == nil {
			again, err := ParseAddress(address.String())
			if err != nil || again != address {
				t.Errorf("%q is %+v; its text %q is %+v, %v", text, address, address.String(), again, err)
			}
		} else if address != (Address{}) {
			t.Errorf("%q: an error, and %+v", text, address)
		}
		if address, err := ParseListenAddress(text); err == nil {
			again, err := ParseListenAddress(address.String())
			if err != nil || again != address {
				t.Errorf("%q is %+v; its text %q is %+v, %v", text, address, address.String(), again, err)
			}
		}
	})
}
