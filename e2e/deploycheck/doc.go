// Package deploycheck proves that what is in deploy/ is what Kubernetes and Docker Compose take: no field is unknown or of a wrong type,
// and what one part says of another is so. It is a module of its own, so that their libraries are not among those of l7.
//
// Whether l7 takes the configs in there, and runs with them, is shown by deploy_test.go in the folder above.
package deploycheck
