package api

import (
	"os"
	"path/filepath"
	"strconv"
)

// DefaultSocket is where the admin socket stands when no config says it: /run/l7/admin.sock for root, l7/admin.sock under
// XDG_RUNTIME_DIR for others, or under the directory for temporary files in a folder of the user's own.
func DefaultSocket(uid int, getenv func(string) string) string {
	if uid == 0 {
		return "/run/l7/admin.sock"
	}
	if dir := getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "l7", "admin.sock")
	}
	return filepath.Join(os.TempDir(), "l7-"+strconv.Itoa(uid), "admin.sock")
}
