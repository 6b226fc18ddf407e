//go:build !windows

package proactor_test

// Not on Windows: not every one takes a socket off the completion port of Go's runtime, and none
// takes one off ours.

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"

	"github.com/proactor-go/proactor"
)

// A server of net/http routes and authenticates. What asks for another protocol leaves its
// goroutine for a loop, with the bytes that the client has sent behind its request.
func ExampleServer_Adopt() {
	lines := &proactor.Server{Handler: proactor.Handler{
		Split: bufio.ScanLines,
		Message: func(c *proactor.Conn, line []byte) {
			fmt.Fprintf(c, "%v, you said %s\n", c.Value(), line)
			c.Close()
		},
	}}
	if err := lines.Start(); err != nil {
		log.Fatal(err)
	}
	defer lines.Close()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.FormValue("name")
		nc, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			log.Print(err)
			return
		}
		early, _ := buffered.Reader.Peek(buffered.Reader.Buffered())
		io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\n")
		if err := lines.Adopt(nc, early, func(c *proactor.Conn) { c.SetValue(name) }); err != nil {
			log.Print(err)
			nc.Close()
		}
	}))
	defer web.Close()
	answer := exchange(web.Listener.Addr(), "GET /?name=ann HTTP/1.1\r\nHost: example\r\nConnection: Upgrade\r\nUpgrade: lines\r\n\r\nhello\n")
	fmt.Print(answer[strings.Index(answer, "\r\n\r\n")+4:])
	// Output:
	// ann, you said hello
}

// Thousands of clients that chat are on the loops. One that wants a file leaves them for a
// goroutine, where io.Copy has the system send it.
func ExampleConn_Detach() {
	send := func(nc net.Conn) {
		defer nc.Close()
		f, err := os.Open("go.mod")
		if err != nil {
			log.Print(err)
			return
		}
		defer f.Close()
		if _, err := io.Copy(nc, f); err != nil {
			log.Print(err)
		}
	}
	srv := &proactor.Server{Addr: "127.0.0.1:0", Handler: proactor.Handler{
		Split: bufio.ScanLines,
		Message: func(c *proactor.Conn, line []byte) {
			if string(line) != "get" {
				fmt.Fprintf(c, "you said %s\n", line)
				return
			}
			c.Write([]byte("here it comes:\n")) // goes out first
			err := c.Detach(func(nc net.Conn, _ []byte, err error) {
				if err != nil {
					log.Print(err) // it has ended before
					return
				}
				go send(nc) // done is called on the loop
			})
			if err != nil { // as with TLS
				log.Print(err)
				c.Close()
			}
		},
	}}
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	answer := exchange(srv.ListenAddr(), "hello\nget\n")
	fmt.Print(answer[:strings.Index(answer, "\n\n")])
	// Output:
	// you said hello
	// here it comes:
	// module github.com/proactor-go/proactor
}
