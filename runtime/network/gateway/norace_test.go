//go:build !race

package gateway

const raceCost = 1
