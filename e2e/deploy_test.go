package e2e

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"
)

// The folder deploycheck, a module of its own, proves that Kubernetes and Compose take what is in deploy/, and that its parts agree. Here
// the real l7 runs with the configs in it.

// manifest is what the tests read of one.
type manifest struct {
	Data       map[string]string `yaml:"data"`
	StringData map[string]string `yaml:"stringData"`
	Spec       struct {
		Template struct {
			Spec struct {
				Containers []struct {
					Env []struct {
						Name      string `yaml:"name"`
						Value     string `yaml:"value"`
						ValueFrom struct {
							SecretKeyRef struct {
								Key string `yaml:"key"`
							} `yaml:"secretKeyRef"`
						} `yaml:"valueFrom"`
					} `yaml:"env"`
					Readiness httpProbe `yaml:"readinessProbe"`
					Liveness  httpProbe `yaml:"livenessProbe"`
				} `yaml:"containers"`
			} `yaml:"spec"`
		} `yaml:"template"`
	} `yaml:"spec"`
}

type httpProbe struct {
	Get struct {
		Path string `yaml:"path"`
	} `yaml:"httpGet"`
}

func readManifest(t *testing.T, name string) manifest {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("..", "deploy", "kubernetes", name))
	require.NoError(t, err)
	var m manifest
	require.NoError(t, yaml.Unmarshal(content, &m))
	return m
}

// podEnvironment is what the Deployment sets, with the Secret's value in its place, and the config at a path of this machine.
func podEnvironment(t *testing.T, file string) []string {
	t.Helper()
	secrets := readManifest(t, "secret.yaml").StringData
	var env []string
	for _, variable := range readManifest(t, "deployment.yaml").Spec.Template.Spec.Containers[0].Env {
		value := variable.Value
		if key := variable.ValueFrom.SecretKeyRef.Key; key != "" {
			value = secrets[key]
		}
		if variable.Name == "L7_CONFIG" {
			require.Equal(t, "/etc/l7/l7.yml", value)
			value = file
		}
		env = append(env, variable.Name+"="+value)
	}
	return env
}

// onFreePorts has l7 use ports and a socket that the system gives, by the layer above the file's and the Deployment's.
func onFreePorts(socket string) []string {
	return []string{loopback, "L7_ADMIN__LISTEN=127.0.0.1:0", "L7_ADMIN__SOCKET=" + socket}
}

func TestKubernetesConfig(t *testing.T) {
	t.Parallel()
	file := writeFile(t, readManifest(t, "configmap.yaml").Data["l7.yml"])
	env := podEnvironment(t, file)
	assert.Zero(t, program{path: built.l7, args: []string{"check"}, env: env}.run(t).code)
	// It is the Secret that makes it right: an admin listener beyond loopback wants users.
	refused := program{path: built.l7, args: []string{"check"}, env: append(slices.Clone(env), "L7_ADMIN__USERS=")}.run(t)
	assert.Equal(t, 1, refused.code)
	assert.Contains(t, refused.stderr, "admin.users")

	replaceServers(t, file, startUpstreams(t, 1))
	socket := filepath.Join(socketFolder(t), "admin.sock")
	env = append(env, onFreePorts(socket)...)
	l := run{env: append(slices.Clone(env), "L7_ADMIN__USERS=ops:"+hashOf(t, secret)+" bob:"+hashOf(t, secret+"-bob"))}.start(t)
	assert.Equal(t, "a", l.get("http://example.com/").is(http.StatusOK).server())
	l.get("http://unknown.example/").is(http.StatusNotFound)

	room := newClient(t, l.awaitLog("admin listening", 1).field("address"))
	container := readManifest(t, "deployment.yaml").Spec.Template.Spec.Containers[0]
	for _, path := range []string{container.Readiness.Get.Path, container.Liveness.Get.Path} {
		require.NotEmpty(t, path)
		room.get("http://l7" + path).is(http.StatusOK) // without a password, as the kubelet asks
	}
	room.get("http://l7/metrics").is(http.StatusUnauthorized)
	room.send(call{url: "http://l7/metrics", user: "ops:" + secret}).is(http.StatusOK)
	room.send(call{url: "http://l7/metrics", user: "bob:" + secret + "-bob"}).is(http.StatusOK)

	status := program{path: built.l7, args: []string{"status"}, env: env}.run(t)
	assert.Zero(t, status.code, status.stderr)
	assert.Contains(t, status.stdout, "example.com")
}

// TestKubernetesSecretLetsNobodyIn: the manifest as it stands runs, and its placeholder opens no door.
func TestKubernetesSecretLetsNobodyIn(t *testing.T) {
	t.Parallel()
	file := writeFile(t, readManifest(t, "configmap.yaml").Data["l7.yml"])
	replaceServers(t, file, startUpstreams(t, 1))
	l := run{env: append(podEnvironment(t, file), onFreePorts("off")...)}.start(t)
	room := newClient(t, l.awaitLog("admin listening", 1).field("address"))
	room.get("http://l7/readyz").is(http.StatusOK)
	for _, user := range []string{"ops:ops", "ops:", "ops:CHANGE-ME", "ops:" + strings.TrimPrefix(readManifest(t, "secret.yaml").StringData["users"], "ops:")} {
		room.send(call{url: "http://l7/metrics", user: user}).is(http.StatusUnauthorized)
	}
}

func TestComposeConfig(t *testing.T) {
	t.Parallel()
	source := filepath.Join("..", "deploy", "compose", "l7.yml")
	checked := program{path: built.l7, args: []string{"check"}, env: []string{"L7_CONFIG=" + source}}.run(t)
	assert.Zero(t, checked.code, checked.stderr)

	content, err := os.ReadFile(source)
	require.NoError(t, err)
	file := writeFile(t, string(content))
	replaceServers(t, file, startUpstreams(t, 2))
	socket := filepath.Join(socketFolder(t), "admin.sock")
	env := append([]string{"L7_CONFIG=" + file}, onFreePorts(socket)...)
	l := run{env: env}.start(t)
	assert.Len(t, l.serverNames("http://example.com/", 20), 2)
	newClient(t, l.awaitLog("admin listening", 1).field("address")).get("http://l7/readyz").is(http.StatusOK)

	// The health check of compose.yaml.
	health := program{path: built.l7, args: []string{"status"}, env: env}
	assert.Zero(t, health.run(t).code)
	l.kill()
	assert.Equal(t, 3, health.run(t).code)
}
