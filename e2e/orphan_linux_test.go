package e2e

import "syscall"

// orphans ends a process with the test binary, also where that dies without a cleanup.
func orphans() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
