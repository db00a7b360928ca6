// Package wire holds the messages between the host and a guest's agent, generated from agent.proto. It is
// imported by package proto and by the agent, by nobody else.
package wire

//go:generate go tool -modfile=../../../../.ci/tools.mod buf generate
