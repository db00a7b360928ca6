// Command server is what the benchmark of published ports runs in its guest: servers on loopback, and the same as
// commands, for streams without one.
package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
)

func main() {
	switch os.Args[1] {
	case "answer":
		answerAll(8080)
	case "serve":
		go serve("127.0.0.1:8081", func(c net.Conn) { send(c, os.Args[2]) })
		serve("127.0.0.1:8082", func(c net.Conn) { receive(c, c) })
	case "deaf":
		serve("127.0.0.1:8080", func(net.Conn) { select {} })
	case "down":
		send(os.Stdout, os.Args[2])
	case "up":
		receive(os.Stdin, os.Stdout)
	case "ask":
		ask(8080, os.Args[2])
	}
}

func serve(address string, f func(net.Conn)) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		panic(err)
	}
	for {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		go func() {
			defer c.Close()
			f(c)
		}()
	}
}

func send(w io.Writer, size string) {
	left, err := strconv.Atoi(size)
	if err != nil {
		panic(err)
	}
	for block := make([]byte, 64<<10); left > 0; {
		n, err := w.Write(block[:min(left, len(block))])
		if err != nil {
			return
		}
		left -= n
	}
}

func receive(r io.Reader, w io.Writer) {
	n, _ := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, make([]byte, 64<<10))
	fmt.Fprintln(w, n)
}
