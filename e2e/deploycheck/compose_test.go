package deploycheck

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const composeFile = "../../deploy/compose.yaml"

// TestCompose has the file read by the library that docker compose is made with, against the schema of the Compose Specification.
func TestCompose(t *testing.T) {
	content, err := os.ReadFile(composeFile)
	if err == nil {
		err = checkCompose(content)
	}
	if err != nil {
		t.Error(err)
	}
}

// TestComposeMistakesAreFound spoils one thing at a time.
func TestComposeMistakesAreFound(t *testing.T) {
	content, err := os.ReadFile(composeFile)
	if err != nil {
		t.Fatal(err)
	}
	f := func(old, spoilt, want string) {
		t.Helper()
		if !strings.Contains(string(content), old) {
			t.Fatalf("there is no %q", old)
		}
		err := checkCompose([]byte(strings.Replace(string(content), old, spoilt, 1)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: want an error with %q, got: %v", spoilt, want, err)
		}
	}
	f("read_only:", "readonly:", "readonly")
	f("read_only: true", "read_only: [true]", "read_only")
	f("stop_grace_period: 40s", "stop_grace_period: forty", "forty")
	f("services:", "service:", "service")
	f("healthcheck:\n      test:", "healthcheck:\n      tset:", "tset")
	f("stop_grace_period: 40s", "stop_grace_period: 30s", "killed before it has drained")
	f("'8080:8080'", "'8080:80'", "l7 listens on 8080")
	f("  web-2:", "  web-3:", `there is no service "web-2"`)
	f("L7_CONFIG: /etc/l7/l7.yml", "L7_CONFIG: /etc/l7/absent.yml", "absent.yml")
	f("/run/l7:uid", "/run/l8:uid", "/run/l7/admin.sock")
	f("read_only: true", "read_only: false", "read-only")
	f("./compose:/etc/l7:ro", "./conf:/etc/l7:ro", "no such file")
}

func checkCompose(content []byte) error {
	folder, err := filepath.Abs(filepath.Dir(composeFile))
	if err != nil {
		return err
	}
	project, err := loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  folder,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(folder, filepath.Base(composeFile)), Content: content}},
		Environment: types.Mapping{},
	})
	if err != nil {
		return err
	}
	service, err := project.GetService("l7")
	if err != nil {
		return err
	}
	return agreeCompose(project, &service)
}

// agreeCompose returns what the file says of l7's config that is not so.
func agreeCompose(project *types.Project, l7 *types.ServiceConfig) error {
	file := l7.Environment["L7_CONFIG"]
	mount := slices.IndexFunc(l7.Volumes, func(v types.ServiceVolumeConfig) bool { return file != nil && v.Target == path.Dir(*file) })
	if mount < 0 {
		return errors.New("no folder is mounted where L7_CONFIG is wanted")
	}
	text, err := os.ReadFile(filepath.Join(l7.Volumes[mount].Source, path.Base(*file)))
	if err != nil {
		return err
	}
	config, err := readConfig(string(text))
	if err != nil {
		return err
	}
	var m mistakes
	_, port, _ := net.SplitHostPort(config.Listen)
	m.unless(len(l7.Ports) == 1 && strconv.Itoa(int(l7.Ports[0].Target)) == port, "l7 listens on %s, and that is not the port that is published", port)
	m.unless(l7.ReadOnly && l7.Volumes[mount].ReadOnly, "the file system is not read-only")
	m.unless(slices.ContainsFunc(l7.Tmpfs, func(t string) bool { return strings.HasPrefix(t, path.Dir(config.Admin.Socket)+":") }),
		"nothing can be written where the socket %s is to be", config.Admin.Socket)
	m.unless(l7.StopGracePeriod != nil && time.Duration(*l7.StopGracePeriod) > config.draining(), "l7 is killed before it has drained, which takes up to %s", config.draining())
	m.unless(l7.HealthCheck != nil && slices.Equal(l7.HealthCheck.Test, []string{"CMD", "/l7", "status"}), "the health check is not `l7 status`, and there is no shell")
	for _, backend := range config.Backends {
		servers, _ := backend.Servers.([]any)
		for _, server := range servers {
			address, err := url.Parse(server.(string))
			m.unless(err == nil && project.Services[address.Hostname()].Image != "", "there is no service %q", address.Hostname())
		}
	}
	return errors.Join(m...)
}
