// Command client sends a line to a server, prints the line that comes back, and ends.
// Outbound connections have the same callbacks and the same limits as those of a server.
//
//	go run ./examples/lineserver
//	go run ./examples/client -to 127.0.0.1:5002 hello
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
)

func main() {
	to := flag.String("to", "127.0.0.1:5002", "the server")
	flag.Parse()
	engine, err := proactor.NewEngine(proactor.Config{Loops: 1})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()

	closed := make(chan error, 1)
	d := &proactor.Dialer{
		Engine:  engine,
		Timeout: 5 * time.Second, // for the name, and all of its addresses together
		Handler: proactor.Handler{
			Split: frame.Delimiter{Delim: "\n"}.Split,
			Message: func(c *proactor.Conn, line []byte) {
				fmt.Printf("%s\n", line)
				c.Close()
			},
			Closed: func(_ *proactor.Conn, cause error) { closed <- cause },
		},
		Limits: proactor.Limits{ReadTimeout: 5 * time.Second},
	}
	c, err := d.Dial(context.Background(), "tcp", *to)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprintln(c, strings.Join(flag.Args(), " "))
	if cause := <-closed; cause != proactor.ErrLocalClosed {
		log.Fatal(cause)
	}
}
