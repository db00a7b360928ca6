//go:build race

package gateway

// raceCost is how many times the memory a process takes at most when the race detector watches it: "5-10x", says
// https://go.dev/doc/articles/race_detector.
const raceCost = 10
