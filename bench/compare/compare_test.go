//go:build linux

package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"math"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	f := func(want float64, of ...float64) {
		t.Helper()
		if got := median(of); got != want {
			t.Errorf("median(%v) = %v, want %v", of, got, want)
		}
	}
	f(3, 3)
	f(2, 3, 1)
	f(2, 9, 1, 2)
	if !math.IsNaN(median(nil)) {
		t.Error("the median of nothing is a number")
	}
}

// The measure is the better rival, never an l7, and rounds are compared with themselves: one that a noisy neighbour made twice
// as slow for everybody does not change the ratio.
func TestEfficiencyPairsRounds(t *testing.T) {
	of := func(rival bool, cpu ...float64) *series {
		s := &series{rival: rival}
		for _, c := range cpu {
			s.Samples = append(s.Samples, sample{CPU: c})
		}
		return s
	}
	worse, best, own := of(true, 12, 24, 12), of(true, 10, 20, 10), of(false, 5, 10, 5)
	if better([]*series{worse, best, own}) != best {
		t.Fatal("the better rival is not the measure")
	}
	for _, e := range own.efficiencies(best) {
		if e != 2 {
			t.Errorf("efficiency %v, want 2 in every round", e)
		}
	}
	own.Samples[1].Error = "failed"
	if n := len(own.efficiencies(best)); n != 2 {
		t.Errorf("%d rounds count, want the 2 that succeeded", n)
	}
	if better([]*series{own}) != own {
		t.Error("without rivals the first is not the measure")
	}
}

func TestResult(t *testing.T) {
	line := func(json string) []byte { return []byte("Running 1s test\n\nRESULT " + json + "\n") }
	got, err := result(line(`{"requests":1000,"bytes":150000,"us":2000000,"p99us":1500,"failed":0}`), 20*time.Millisecond, 100)
	if err != nil || got.CPU != 20 || got.Rate != 500 || got.P99 != 1.5 {
		t.Errorf("unexpected result %+v, %v", got, err)
	}
	f := func(out []byte, cpu time.Duration) {
		t.Helper()
		if _, err := result(out, cpu, 100); err == nil {
			t.Errorf("%s, %s: no error", out, cpu)
		}
	}
	f([]byte("unable to connect"), time.Second)
	f(line(`{"requests":1000,"bytes":150000,"us":2000000,"p99us":1500,"failed":1}`), time.Second)
	f(line(`{"requests":1000,"bytes":90000,"us":2000000,"p99us":1500,"failed":0}`), time.Second) // smaller than they should be
	f(line(`{"requests":0,"bytes":0,"us":2000000,"p99us":0,"failed":0}`), time.Second)
	f(line(`{"requests":1000,"bytes":150000,"us":2000000,"p99us":1500,"failed":0}`), 0)
}

func TestRoundTrip(t *testing.T) {
	const fine = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	// f answers in two pieces, cut at every place in turn.
	f := func(answer, want string, ok bool) {
		t.Helper()
		for cut := range len(answer) {
			client, server := net.Pipe()
			go func() {
				_, _ = server.Read(make([]byte, 100))
				_, _ = server.Write([]byte(answer[:cut]))
				_, _ = server.Write([]byte(answer[cut:]))
				_ = server.Close()
			}()
			err := roundTrip(client, []byte("x"), make([]byte, 1024), int64(len(want)), []byte(want))
			if (err == nil) != ok {
				t.Errorf("%q cut at %d: %v", answer, cut, err)
			}
			_ = client.Close()
		}
	}
	f(fine, "hello", true)
	f(fine, "hallo", false)
	f(fine, "hello!", false)
	f(strings.Replace(fine, "200", "502", 1), "hello", false)
	f(fine[:len(fine)-1], "hello", false)
	f("HTTP/1.1 200 OK\r\n\r\nhello", "hello", false)
}

// A head has the size that was asked for, so that it stays within what a contestant takes.
func TestGetSize(t *testing.T) {
	for _, size := range []int{14 << 10, 30 << 10, 31 << 10} {
		head := get("/x", size)
		if len(head) > size || len(head) < size-100 || !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
			t.Errorf("a head of %d bytes, want about %d", len(head), size)
		}
	}
}

// Full handshakes are full and resumed ones are resumed, with what was pinned; anything else is an error and no measurement.
func TestHandshakes(t *testing.T) {
	id, err := (&lab{dir: t.TempDir()}).newIdentity()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := tls.LoadX509KeyPair(id.cert, id.key)
	if err != nil {
		t.Fatal(err)
	}
	// f makes three handshakes with a server that closes when its client has said goodbye.
	f := func(server *tls.Config, resume, ok bool) {
		t.Helper()
		server.Certificates = []tls.Certificate{cert}
		ln, err := tls.Listen("tcp", "127.0.0.1:0", server)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		go echoNothing(ln)
		h := &handshakes{addr: ln.Addr().String(), config: id.client(nil), resume: resume}
		if resume {
			h.config = id.client(tls.NewLRUClientSessionCache(0))
			err = h.prime()
		}
		for range 3 {
			err = errors.Join(err, h.one())
		}
		if (err == nil) != ok {
			t.Errorf("resume %t, want success %t: %v", resume, ok, err)
		}
	}
	f(&tls.Config{MinVersion: tls.VersionTLS13}, false, true)
	f(&tls.Config{MinVersion: tls.VersionTLS13}, true, true)
	f(&tls.Config{MinVersion: tls.VersionTLS13, SessionTicketsDisabled: true}, true, false)
	f(&tls.Config{MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.CurveP256}}, false, false)
}

func echoNothing(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.Close()
	}
}

// Nothing but the pinned is taken for it.
func TestNegotiated(t *testing.T) {
	pinned := tls.ConnectionState{Version: wantVersion, CipherSuite: wantSuite, CurveID: wantGroup}
	if err := negotiated(pinned); err != nil {
		t.Error(err)
	}
	for _, change := range []func(*tls.ConnectionState){
		func(s *tls.ConnectionState) { s.Version = tls.VersionTLS12 },
		func(s *tls.ConnectionState) { s.CipherSuite = tls.TLS_AES_256_GCM_SHA384 },
		func(s *tls.ConnectionState) { s.CurveID = tls.X25519MLKEM768 },
	} {
		other := pinned
		if change(&other); negotiated(other) == nil {
			t.Errorf("%s was taken for what is wanted", describe(other))
		}
	}
}

// Handshakes are measured with -tls alone, and every usual scenario exists.
func TestChosen(t *testing.T) {
	f := func(only string, secure bool, count int) {
		t.Helper()
		list, err := chosen(only, secure)
		if len(list) != count || (err == nil) != (count > 0) {
			t.Errorf("chosen(%q, %t): %d scenarios, %v", only, secure, len(list), err)
		}
	}
	f("", false, 5)
	f("", true, 4)
	f("1mib,resumed", true, 2)
	f("full", false, 0)
	f("none", true, 0)
}

// The processes of a group and their figures are found, ours for example.
func TestProc(t *testing.T) {
	own, err := readStat("self")
	if err != nil || own.pgrp <= 0 {
		t.Fatalf("unexpected stat %+v, %v", own, err)
	}
	if n, err := rss([]string{"self"}); err != nil || n < 1<<20 {
		t.Errorf("RSS %d, %v", n, err)
	}
}

// What was started is gone after close, and so are its children and the directory.
func TestLabCloses(t *testing.T) {
	l, err := newLab(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p, err := l.start(t.Context(), "shell", "/bin/sh", "-c", "sleep 1000 & wait")
	if err != nil {
		t.Fatal(err)
	}
	for { // until the shell has forked
		pids, err := p.pids()
		if err != nil {
			t.Fatal(err)
		}
		if len(pids) == 2 {
			break
		}
		time.Sleep(time.Millisecond)
	}
	l.close()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, err := p.pids(); err != nil {
			break // nobody is left
		}
		if time.Now().After(deadline) {
			t.Fatal("a process is left")
		}
	}
	if p.check() == nil {
		t.Error("a process that was killed counts as running")
	}
	if _, err := os.Stat(l.dir); !os.IsNotExist(err) {
		t.Errorf("the directory is left: %v", err)
	}
}
