// Command reach is what the benchmark of networks runs in its guest, with the server at an address: "up SIZE", "down",
// "ping TIMES" and, where nobody is, "refused TIMES". Who measures does so outside; the guest's clock is not asked.
package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
)

func main() {
	address, what := os.Args[1], os.Args[2:]
	if what[0] == "refused" {
		refused(address, what[1])
		return
	}
	c := must(net.Dial("tcp", address)).(*net.TCPConn)
	defer c.Close()
	switch what[0] {
	case "up":
		must(io.CopyBuffer(struct{ io.Writer }{c}, io.LimitReader(zeros{}, int64(must(strconv.Atoi(what[1])))), make([]byte, 64<<10)))
		check(c.CloseWrite())
		must(io.Copy(io.Discard, c))
	case "down":
		must(io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{c}, make([]byte, 64<<10)))
	case "ping":
		b := make([]byte, 1)
		for range must(strconv.Atoi(what[1])) {
			must(c.Write(b))
			must(io.ReadFull(c, b))
		}
	}
}

// refused tries so often, and says when it begins and when it is done.
func refused(address, times string) {
	fmt.Fprintln(os.Stdout, "begun")
	for range must(strconv.Atoi(times)) {
		if _, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
			panic(fmt.Sprint(address, " is not refused: ", err))
		}
	}
	fmt.Fprintln(os.Stdout, "done")
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func must[T any](v T, err error) T {
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
