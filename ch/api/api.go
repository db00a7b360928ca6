// Package api holds the shapes of the Cloud Hypervisor REST API that microagent speaks, with a client and a
// strict server for them, all generated from openapi.yaml in this folder.
//
// Nothing here knows what a call means or how its failure reads: that is package ch for the client's side
// and runtime/qemu for the server's. Only those two and ch/chtest import it.
package api

//go:generate go tool -modfile=../../.ci/tools.mod oapi-codegen -config types.cfg.yaml openapi.yaml
//go:generate go tool -modfile=../../.ci/tools.mod oapi-codegen -config client.cfg.yaml openapi.yaml
//go:generate go tool -modfile=../../.ci/tools.mod oapi-codegen -config server.cfg.yaml openapi.yaml
