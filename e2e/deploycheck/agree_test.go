package deploycheck

import (
	"errors"
	"fmt"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

// objects are the manifests, one of each kind.
type objects struct {
	deployment *appsv1.Deployment
	config     *corev1.ConfigMap
	secret     *corev1.Secret
	service    *corev1.Service
	budget     *policyv1.PodDisruptionBudget
	autoscaler *autoscalingv2.HorizontalPodAutoscaler
}

func (o *objects) add(object runtime.Object) error {
	switch object := object.(type) {
	case *appsv1.Deployment:
		o.deployment = object
	case *corev1.ConfigMap:
		o.config = object
	case *corev1.Secret:
		o.secret = object
	case *corev1.Service:
		o.service = object
	case *policyv1.PodDisruptionBudget:
		o.budget = object
	case *autoscalingv2.HorizontalPodAutoscaler:
		o.autoscaler = object
	default:
		return fmt.Errorf("nothing is known here of a %T", object)
	}
	return nil
}

// l7Config is what the manifests have to agree with.
type l7Config struct {
	Listen   string
	Admin    struct{ Listen, Socket string }
	Drain    struct{ Delay, Timeout string }
	Backends map[string]struct{ Servers any }
}

func readConfig(text string) (c l7Config, err error) {
	err = yaml.Unmarshal([]byte(text), &c)
	return c, err
}

// draining is how long l7 may take to stop.
func (c l7Config) draining() time.Duration {
	delay, _ := time.ParseDuration(c.Drain.Delay) // none, where there is none
	timeout, err := time.ParseDuration(c.Drain.Timeout)
	if err != nil {
		timeout = 30 * time.Second
	}
	return delay + timeout
}

// mistakes collects what does not come true.
type mistakes []error

func (m *mistakes) unless(good bool, format string, args ...any) {
	if !good {
		*m = append(*m, fmt.Errorf(format, args...))
	}
}

// agree returns what one manifest says of another that is not so.
func (o *objects) agree() error {
	if o.deployment == nil || o.config == nil || o.secret == nil || o.service == nil || o.budget == nil || o.autoscaler == nil {
		return errors.New("a manifest is missing")
	}
	var m mistakes
	pod := &o.deployment.Spec.Template.Spec
	m.unless(len(pod.Containers) == 1, "there is not just one container")
	container := &pod.Containers[0]
	config := o.mounted(&m, pod, container)
	o.selectors(&m)
	o.ports(&m, container, config)
	secured(&m, pod, container)

	grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	m.unless(grace > config.draining(), "after %s l7 is killed before it has drained, which takes up to %s", grace, config.draining())
	m.unless(container.Lifecycle == nil, "l7 needs no preStop: it has drain.delay")
	least := *o.autoscaler.Spec.MinReplicas
	target := o.autoscaler.Spec.ScaleTargetRef
	m.unless(target.Kind == "Deployment" && target.APIVersion == "apps/v1" && target.Name == o.deployment.Name, "the autoscaler scales %q, which is not there", target.Name)
	m.unless(least >= 2 && *o.deployment.Spec.Replicas >= least, "there are fewer than two pods, or than the autoscaler wants")
	m.unless(o.budget.Spec.MaxUnavailable.IntValue() > 0, "no node could ever be drained")
	return errors.Join(m...)
}

// mounted looks at the volumes and the environment, and returns the config that l7 would find.
func (o *objects) mounted(m *mistakes, pod *corev1.PodSpec, container *corev1.Container) l7Config {
	volumes := map[string]corev1.Volume{}
	for _, volume := range pod.Volumes {
		volumes[volume.Name] = volume
	}
	m.unless(len(volumes) == len(container.VolumeMounts), "there are %d volumes and %d mounts", len(volumes), len(container.VolumeMounts))
	folders := map[string]corev1.Volume{}
	for _, mount := range container.VolumeMounts {
		volume, known := volumes[mount.Name]
		m.unless(known, "the mount %q has no volume", mount.Name)
		m.unless(mount.SubPath == "", "a subPath never changes")
		folders[mount.MountPath] = volume
	}
	var file string
	for _, variable := range container.Env {
		switch {
		case variable.ValueFrom != nil && variable.ValueFrom.SecretKeyRef != nil:
			from := variable.ValueFrom.SecretKeyRef
			m.unless(from.Name == o.secret.Name, "there is no Secret %q", from.Name)
			m.unless(o.secret.StringData[from.Key] != "", "the Secret has no key %q", from.Key)
		case variable.Name == "L7_CONFIG":
			file = variable.Value
		case variable.Name == "GOMEMLIMIT":
			limit, err := resource.ParseQuantity(strings.TrimSuffix(variable.Value, "B"))
			m.unless(err == nil && limit.Cmp(*container.Resources.Limits.Memory()) < 0, "GOMEMLIMIT %s is not less than the limit", variable.Value)
		}
	}
	source := folders[path.Dir(file)].ConfigMap
	if source == nil {
		m.unless(false, "no ConfigMap is mounted where %q is wanted", file)
		return l7Config{}
	}
	m.unless(source.Name == o.config.Name, "there is no ConfigMap %q", source.Name)
	text, found := o.config.Data[path.Base(file)]
	m.unless(found, "the ConfigMap has no %s", path.Base(file))
	config, err := readConfig(text)
	m.unless(err == nil, "%s: %v", path.Base(file), err)
	m.unless(folders[path.Dir(config.Admin.Socket)].EmptyDir != nil, "nothing can be written where the socket %s is to be", config.Admin.Socket)
	return config
}

func (o *objects) selectors(m *mistakes) {
	pod := labels.Set(o.deployment.Spec.Template.Labels)
	f := func(whose string, selector *metav1.LabelSelector) {
		s, err := metav1.LabelSelectorAsSelector(selector)
		m.unless(err == nil && !s.Empty() && s.Matches(pod), "the %s selector does not fit the pods (%v)", whose, err)
	}
	f("Deployment's", o.deployment.Spec.Selector)
	f("Service's", &metav1.LabelSelector{MatchLabels: o.service.Spec.Selector})
	f("PodDisruptionBudget's", o.budget.Spec.Selector)
	for _, spread := range o.deployment.Spec.Template.Spec.TopologySpreadConstraints {
		f(spread.TopologyKey+" spread's", spread.LabelSelector)
	}
}

func (o *objects) ports(m *mistakes, container *corev1.Container, config l7Config) {
	numbers := map[string]string{}
	for _, port := range container.Ports {
		numbers[port.Name] = strconv.Itoa(int(port.ContainerPort))
	}
	f := func(who, name, listen string) {
		_, port, err := net.SplitHostPort(listen)
		m.unless(numbers[name] != "", "%s asks port %q, which the container does not have", who, name)
		m.unless(err == nil && (numbers[name] == "" || numbers[name] == port), "%s asks port %s, and l7 listens on %s", who, numbers[name], port)
	}
	f("the readiness probe", container.ReadinessProbe.HTTPGet.Port.String(), config.Admin.Listen)
	f("the liveness probe", container.LivenessProbe.HTTPGet.Port.String(), config.Admin.Listen)
	for _, port := range o.service.Spec.Ports {
		f("the Service", port.TargetPort.String(), config.Listen)
	}
}

// secured is what the restricted Pod Security Standard wants, and a file system that nobody can write to.
func secured(m *mistakes, pod *corev1.PodSpec, container *corev1.Container) {
	p, c := pod.SecurityContext, container.SecurityContext
	m.unless(p.RunAsNonRoot != nil && *p.RunAsNonRoot && p.RunAsUser != nil && *p.RunAsUser == 65532, "it does not run as user 65532, as in the image")
	m.unless(p.SeccompProfile != nil && p.SeccompProfile.Type == corev1.SeccompProfileTypeRuntimeDefault, "there is no seccomp profile")
	m.unless(c.AllowPrivilegeEscalation != nil && !*c.AllowPrivilegeEscalation, "privileges can be gained")
	m.unless(c.ReadOnlyRootFilesystem != nil && *c.ReadOnlyRootFilesystem, "the file system is not read-only")
	m.unless(c.Capabilities != nil && slices.Contains(c.Capabilities.Drop, "ALL") && len(c.Capabilities.Add) == 0, "not all capabilities are dropped")
	m.unless(pod.AutomountServiceAccountToken != nil && !*pod.AutomountServiceAccountToken, "it has a token that it does not need")
}
