// Package processor tells the host's CPU from others: a guest that was saved goes on with what it found there at its boot.
package processor

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
)

// Digest is of all that /proc/cpuinfo says of the first processor, without what changes by the moment. Hexadecimal.
func Digest() (string, error) {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	return digest(string(text)), nil
}

func digest(text string) string {
	h := sha256.New()
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" {
			break
		}
		switch name, _, _ := strings.Cut(line, "\t"); name {
		case "cpu MHz", "bogomips", "processor", "core id", "apicid", "initial apicid", "physical id":
		default:
			fmt.Fprintln(h, line)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
