// Command lineserver answers lines. Package frame cuts the stream into lines, however the
// bytes arrive; frame.Length and frame.Varint do it for messages with their length first.
//
//	go run ./examples/lineserver
//	nc 127.0.0.1 5002
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:5002", "address to listen on")
	flag.Parse()
	srv := &proactor.Server{Addr: *addr, Handler: proactor.Handler{
		NewSplit: func() bufio.SplitFunc { return frame.Delimiter{Delim: "\n", Max: 1000}.Splitter() },
		// Message is called once for each line. Its answers go out in the order of the lines.
		Message: func(c *proactor.Conn, line []byte) {
			fmt.Fprintf(c, "%s\n", bytes.ToUpper(line))
		},
		// Ended is called when there are no more lines: the client has closed its side, or
		// a line was too long. What is written here still goes out.
		Ended: func(c *proactor.Conn, why error) {
			var long *frame.TooLongError
			if errors.As(why, &long) {
				fmt.Fprintf(c, "a line has %d bytes at most\n", long.Max)
			}
			c.Close()
		},
	}}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	log.Print("listening on ", srv.ListenAddr())
	<-ctx.Done()
	srv.Close()
}
