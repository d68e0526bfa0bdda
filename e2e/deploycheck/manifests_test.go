package deploycheck

import (
	"errors"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

const kubernetes = "../../deploy/kubernetes"

// TestManifests looks at the folder as `kubectl apply -k` and the API server would.
func TestManifests(t *testing.T) {
	if err := check(folder(t)); err != nil {
		t.Error(err)
	}
}

// TestMistakesAreFound spoils one thing at a time.
func TestMistakesAreFound(t *testing.T) {
	f := func(file, old, spoilt, want string) {
		t.Helper()
		fs := folder(t)
		content, err := fs.ReadFile(file)
		if err != nil || !strings.Contains(string(content), old) {
			t.Fatalf("%s has no %q: %v", file, old, err)
		}
		_ = fs.WriteFile(file, []byte(strings.Replace(string(content), old, spoilt, 1)))
		if err := check(fs); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s with %q: want an error with %q, got: %v", file, spoilt, want, err)
		}
	}
	const deployment = "deployment.yaml"
	// What the types say.
	f(deployment, "readinessProbe:", "readynessProbe:", `unknown field "spec.template.spec.containers[0].readynessProbe"`)
	f(deployment, "replicas: 2", "replicas: two", "replicas")
	f(deployment, "memory: 256Mi", "memory: 256 MB", "quantities must match")
	f(deployment, "replicas: 2", "replicas: 2\n  replicas: 3", "replicas")
	f(deployment, "apiVersion: apps/v1", "apiVersion: apps/v2", "apps/v2")
	f(deployment, "ScheduleAnyway", "ScheduleAnyways", `"ScheduleAnyways" is no UnsatisfiableConstraintAction`)
	f("horizontalpodautoscaler.yaml", "averageUtilization", "averageUtilisation", "averageUtilisation")
	f("service.yaml", "type: LoadBalancer", "type: Loadbalancer", `"Loadbalancer" is no ServiceType`)
	f("kustomization.yaml", "resources:", "resource:", "resource")
	f("kustomization.yaml", "  - service.yaml\n", "", "service.yaml is not among the resources")
	// What one part says of another.
	f(deployment, "port: admin", "port: amdin", `the readiness probe asks port "amdin"`)
	f(deployment, "containerPort: 8080", "containerPort: 8081", "l7 listens on 8080")
	f(deployment, "containerPort: 9901", "containerPort: 9902", "l7 listens on 9901")
	f(deployment, "- name: config\n              mountPath", "- name: conf\n              mountPath", `the mount "conf" has no volume`)
	f(deployment, "configMap:\n            name: l7", "configMap:\n            name: l8", `there is no ConfigMap "l8"`)
	f(deployment, "value: /etc/l7/l7.yml", "value: /etc/l7/l8.yml", "no l8.yml")
	f(deployment, "mountPath: /run/l7", "mountPath: /run/l8", "/run/l7/admin.sock")
	f(deployment, "key: users", "key: user", `no key "user"`)
	f(deployment, "matchLabels:\n      app: l7", "matchLabels:\n      app: l8", "the Deployment's selector")
	f("service.yaml", "app: l7", "app: l8", "the Service's selector")
	f("service.yaml", "targetPort: http", "targetPort: web", `port "web"`)
	f("poddisruptionbudget.yaml", "app: l7", "app: l8", "the PodDisruptionBudget's selector")
	f("horizontalpodautoscaler.yaml", "    name: l7", "    name: l8", `scales "l8"`)
	f(deployment, "terminationGracePeriodSeconds: 45", "terminationGracePeriodSeconds: 35", "killed before it has drained")
	f("configmap.yaml", "delay: 5s", "delay: 25s", "killed before it has drained")
	f(deployment, "readOnlyRootFilesystem: true", "readOnlyRootFilesystem: false", "read-only")
	f(deployment, "drop: [ALL]", "drop: [NET_RAW]", "capabilities")
	f(deployment, "runAsUser: 65532", "runAsUser: 0", "65532")
	f(deployment, "value: 230MiB", "value: 300MiB", "GOMEMLIMIT")
}

// folder is a copy of the manifests in memory.
func folder(t *testing.T) filesys.FileSystem {
	t.Helper()
	disk, memory := filesys.MakeFsOnDisk(), filesys.MakeFsInMemory()
	names, err := disk.ReadDir(kubernetes)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		content, err := disk.ReadFile(path.Join(kubernetes, name))
		if err == nil {
			err = memory.WriteFile(name, content)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return memory
}

// check returns all that is wrong.
func check(fs filesys.FileSystem) error {
	decoder, err := newDecoder()
	if err != nil {
		return err
	}
	var found []error
	names, _ := fs.ReadDir(".")
	for _, name := range names { // as they stand, for kustomize lets pass a field that is given twice
		if path.Ext(name) == ".yaml" && name != "kustomization.yaml" {
			content, _ := fs.ReadFile(name)
			if _, _, err := decoder.Decode(content, nil, nil); err != nil {
				found = append(found, fmt.Errorf("%s: %w", name, err))
			}
			if kustomization, _ := fs.ReadFile("kustomization.yaml"); !strings.Contains(string(kustomization), "  - "+name+"\n") {
				found = append(found, fmt.Errorf("%s is not among the resources of kustomization.yaml", name))
			}
		}
	}
	rendered, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(fs, ".")
	if err != nil || len(found) > 0 {
		return errors.Join(append(found, err)...)
	}
	var all objects
	for _, resource := range rendered.Resources() {
		content, err := resource.AsYAML()
		if err != nil {
			return err
		}
		object, _, err := decoder.Decode(content, nil, nil)
		if err != nil {
			return fmt.Errorf("%s: %w", resource.CurId(), err)
		}
		found = append(found, words(reflect.ValueOf(object), resource.GetKind())...)
		found = append(found, all.add(object))
	}
	return errors.Join(append(found, all.agree())...)
}

// newDecoder takes the kinds that are used here, and no field that is unknown or given twice.
func newDecoder() (runtime.Decoder, error) {
	scheme := runtime.NewScheme()
	err := errors.Join(corev1.AddToScheme(scheme), appsv1.AddToScheme(scheme), policyv1.AddToScheme(scheme), autoscalingv2.AddToScheme(scheme))
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer(), err
}

// known are the words that a field of a type may hold. The types alone would let pass any text.
var known = map[reflect.Type][]string{
	reflect.TypeFor[appsv1.DeploymentStrategyType]():        {"RollingUpdate", "Recreate"},
	reflect.TypeFor[autoscalingv2.MetricSourceType]():       {"Resource", "Pods", "Object", "External", "ContainerResource"},
	reflect.TypeFor[autoscalingv2.MetricTargetType]():       {"Utilization", "Value", "AverageValue"},
	reflect.TypeFor[corev1.Capability]():                    {"ALL"},
	reflect.TypeFor[corev1.PullPolicy]():                    {"Always", "Never", "IfNotPresent"},
	reflect.TypeFor[corev1.ResourceName]():                  {"cpu", "memory"},
	reflect.TypeFor[corev1.SeccompProfileType]():            {"RuntimeDefault"},
	reflect.TypeFor[corev1.SecretType]():                    {"Opaque"},
	reflect.TypeFor[corev1.ServiceExternalTrafficPolicy]():  {"Local", "Cluster"},
	reflect.TypeFor[corev1.ServiceType]():                   {"ClusterIP", "NodePort", "LoadBalancer"},
	reflect.TypeFor[corev1.StorageMedium]():                 {"Memory"},
	reflect.TypeFor[corev1.UnsatisfiableConstraintAction](): {"DoNotSchedule", "ScheduleAnyway"},
}

// words finds texts that are none of the words that their type has. A type that is not known here is a mistake too.
func words(v reflect.Value, where string) (found []error) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			return words(v.Elem(), where)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				found = append(found, words(v.Field(i), where+"."+field.Name)...)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			found = append(found, words(v.Index(i), fmt.Sprintf("%s[%d]", where, i))...)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			found = append(found, words(key, where)...)
			found = append(found, words(v.MapIndex(key), where+"."+key.String())...)
		}
	case reflect.String:
		if v.String() != "" && strings.HasPrefix(v.Type().PkgPath(), "k8s.io/api/") && !slices.Contains(known[v.Type()], v.String()) {
			return []error{fmt.Errorf("%s: %q is no %s that is known here", where, v.String(), v.Type().Name())}
		}
	}
	return found
}
