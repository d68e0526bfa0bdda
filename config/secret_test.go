package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// TestNoSecretAnywhere prints a config with secrets in every layer in every way that there is.
func TestNoSecretAnywhere(t *testing.T) {
	file := "users: {a: hunter2-a}\nbackends: {a.io: {servers: [127.0.0.1:1], users: {b: hunter2-b}, sticky: {cookie: l7, secret: hunter2-e}}}\n"
	loaded := mustLoad(t, file, []string{"L7_USERS=c:hunter2-c"}, Args{Users: []string{"d:hunter2-d"}, Port: "80"})
	other := mustLoad(t, "users: {a: hunter2-other}\nbackends: {a.io: {sticky: {cookie: l7, secret: hunter2-f}}}", nil, Args{})
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d", "%t", "%f"} {
		fmt.Fprintf(&out, verb+"\n", loaded.Config)
		fmt.Fprintf(&out, verb+"\n", &loaded.Config)
		fmt.Fprintf(&out, verb+"\n", loaded)
	}
	text, err := json.Marshal(loaded.Config)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	slog.New(slog.NewTextHandler(&out, nil)).Info("x", "config", loaded.Config, "users", loaded.Config.Users)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "config", loaded.Config, "users", loaded.Config.Users)
	fmt.Fprintln(&out, Diff(&loaded.Config, &other.Config), Diff(&other.Config, &loaded.Config))
	for _, origins := range []bool{false, true} {
		if err := loaded.Dump(&out, origins); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range [][]string{{"users", "a"}, {"users", "c"}, {"users", "d"}, {"backends", "a.io", "users", "b"}, {"backends", "a.io", "sticky", "secret"}} {
		fmt.Fprintln(&out, loaded.Origin(path), loaded.Problem(path, "x"))
	}
	if strings.Contains(out.String(), "hunter2") || strings.Contains(out.String(), fmt.Sprintf("%x", "hunter2")) {
		t.Errorf("a secret is shown:\n%s", out.String())
	}
	if !strings.Contains(out.String(), Mask) {
		t.Error("no secret is masked")
	}
	if got := loaded.Config.Users["c"].Reveal(); got != "hunter2-c" {
		t.Errorf("the secret itself is %q", got)
	}
}
