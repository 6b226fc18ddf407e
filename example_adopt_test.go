//go:build !windows

package proactor_test

// Not on Windows, because not every one takes a socket off the completion port of Go's runtime.

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
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
