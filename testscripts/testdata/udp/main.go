// Command udp answers each datagram with itself, or asks for an answer:
//
//	udp serve ADDRESS:PORT
//	udp ask HOST:PORT TEXT
package main

import (
	"fmt"
	"net"
	"os"
	"time"
)

func main() {
	var err error
	if os.Args[1] == "serve" {
		err = serve(os.Args[2])
	} else {
		err = ask(os.Args[2], os.Args[3])
	}
	fmt.Fprintln(os.Stderr, "udp:", err)
	os.Exit(1)
}

func serve(at string) error {
	c, err := net.ListenPacket("udp", at)
	if err != nil {
		return err
	}
	for b := make([]byte, 65535); ; {
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return err
		}
		if _, err := c.WriteTo(b[:n], from); err != nil {
			return err
		}
	}
}

// ask sends once a second, as datagrams may be lost, and exits at the first answer or after a while.
func ask(to, text string) error {
	c, err := net.Dial("udp", to)
	if err != nil {
		return err
	}
	for range 5 {
		if _, err = c.Write([]byte(text)); err != nil {
			return err
		}
		b := make([]byte, 65535)
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		var n int
		if n, err = c.Read(b); err == nil {
			fmt.Println(string(b[:n]))
			os.Exit(0)
		}
		if e, ok := err.(net.Error); !ok || !e.Timeout() {
			return err
		}
	}
	return err
}
