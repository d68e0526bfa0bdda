//go:build linux && !race

package socket

// netOnly is true where plain.go is used.
const netOnly = false
