// Package processor tells the host's CPU from others: a guest that was saved goes on with what it found there at its boot.
package processor

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
)

// Digest is of all that /proc/cpuinfo says of the first processor, without what changes by the moment. Hexadecimal.
func Digest() (string, error) {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "", err
	}
	defer f.Close()
	return digest(f)
}

// digest reads no processor but the first: the kernel makes up the text as it is read, and asks each how fast it is.
func digest(text io.Reader) (string, error) {
	h := sha256.New()
	lines := bufio.NewScanner(text)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() && lines.Text() != "" {
		line := lines.Text()
		switch name, _, _ := strings.Cut(line, "\t"); name {
		case "cpu MHz", "bogomips", "processor", "core id", "apicid", "initial apicid", "physical id":
		default:
			fmt.Fprintln(h, line)
		}
	}
	return hex.EncodeToString(h.Sum(nil)), lines.Err()
}
