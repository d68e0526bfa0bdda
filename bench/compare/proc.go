//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ is 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// stat is what we want of /proc/PID/stat, by the numbers of proc(5).
type stat struct {
	pgrp     int
	own      time.Duration // utime + stime
	children time.Duration // cutime + cstime: of those that have ended and were waited for
}

func readStat(pid string) (stat, error) {
	raw, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return stat{}, err
	}
	// The name, in parentheses, may hold anything; the third field follows the last of them.
	fields := strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
	var n [4]int64
	for i := range n {
		if n[i], err = strconv.ParseInt(fields[11+i], 10, 64); err != nil {
			return stat{}, fmt.Errorf("cannot read /proc/%s/stat: %w", pid, err)
		}
	}
	pgrp, err := strconv.Atoi(fields[2])
	if err != nil {
		return stat{}, fmt.Errorf("cannot read /proc/%s/stat: %w", pid, err)
	}
	return stat{pgrp, time.Duration(n[0]+n[1]) * tick, time.Duration(n[2]+n[3]) * tick}, nil
}

// group calls f for every process of p's group.
func (p *process) group(f func(pid string, s stat)) error {
	names, err := os.ReadDir("/proc")
	if err != nil {
		return fmt.Errorf("cannot read /proc: %w", err)
	}
	found := false
	for _, name := range names {
		if c := name.Name()[0]; c < '0' || c > '9' {
			continue
		}
		s, err := readStat(name.Name())
		if err != nil || s.pgrp != p.pid() {
			continue // somebody else's, or just gone
		}
		found = true
		f(name.Name(), s)
	}
	if !found {
		return fmt.Errorf("cannot find a process of %s", p.name)
	}
	return nil
}

// cpu is the user and system time that p and all that it forked have used.
func (p *process) cpu() (total time.Duration, err error) {
	err = p.group(func(pid string, s stat) {
		total += s.own + s.children
	})
	return total, err
}

// pids are the processes of the group.
func (p *process) pids() (pids []string, err error) {
	err = p.group(func(pid string, _ stat) { pids = append(pids, pid) })
	return pids, err
}

// rss is the resident memory of the processes together, in bytes. What several of them share counts for each.
func rss(pids []string) (total int64, err error) {
	for _, pid := range pids {
		raw, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			return 0, err
		}
		_, after, found := strings.Cut(string(raw), "\nVmRSS:")
		if !found {
			return 0, fmt.Errorf("cannot find VmRSS of process %s", pid)
		}
		kib, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("cannot read VmRSS of process %s: %w", pid, err)
		}
		total += kib << 10
	}
	return total, nil
}

// rss is the resident memory of p and all that it forked, in bytes.
func (p *process) rss() (int64, error) {
	pids, err := p.pids()
	if err != nil {
		return 0, err
	}
	return rss(pids)
}

// restingRSS is the resident memory after p has been left alone for a while. Nothing is done to make it smaller.
func (p *process) restingRSS(ctx context.Context, settle time.Duration) (int64, error) {
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}
	return p.rss()
}

// peakRSS is the highest resident memory seen while f runs, looked at every 10 ms.
func (p *process) peakRSS(f func() error) (peak int64, err error) {
	pids, err := p.pids()
	if err != nil {
		return 0, err
	}
	done := make(chan error, 1)
	go func() { done <- f() }()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	for {
		now, err := rss(pids)
		if err != nil {
			return 0, errOf(<-done, err)
		}
		peak = max(peak, now)
		select {
		case err := <-done:
			return peak, err
		case <-ticker.C:
		}
	}
}

// errOf is the first of two errors that there is.
func errOf(first, second error) error {
	if first != nil {
		return first
	}
	return second
}
