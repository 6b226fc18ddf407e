// Command draining ends in good order on SIGTERM: it accepts no more, tells each client,
// sends what it owes, and resets those that have not gone after ten seconds.
//
//	go run ./examples/draining
//	nc 127.0.0.1 5006        # then press Ctrl-C in the server's terminal
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/frame"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:5006", "address to listen on")
	flag.Parse()
	srv := &proactor.Server{Addr: *addr, Handler: proactor.Handler{
		Split:   frame.Delimiter{Delim: "\n", Max: 1000}.Split,
		Message: func(c *proactor.Conn, line []byte) { fmt.Fprintf(c, "%s\n", line) },
		// Ended is called when nothing more will be delivered; a handler without it has
		// its connections closed at this moment.
		Ended: func(c *proactor.Conn, why error) {
			if errors.Is(why, proactor.ErrServerClosed) {
				fmt.Fprintln(c, "the server is going down, come again")
			}
			c.Close()
		},
	}}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	log.Print("listening on ", srv.ListenAddr())
	<-ctx.Done()
	stop() // a second signal ends the process at once

	drain, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		log.Print("not all clients have gone: ", err)
	}
}
