//go:build !linux

package e2e

import "syscall"

func orphans() *syscall.SysProcAttr { return nil }
