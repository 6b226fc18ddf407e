// Command chat passes each line of a client on to all clients. Registry keeps the connections;
// Broadcast gives the same bytes to all of them, without a copy for each.
//
//	go run ./examples/chat
//	nc 127.0.0.1 5003        # in as many terminals as you like
package main

import (
	"context"
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
	addr := flag.String("listen", "127.0.0.1:5003", "address to listen on")
	flag.Parse()
	var clients proactor.Registry[uint64] // by Conn.ID
	say := func(format string, args ...any) { clients.Broadcast(fmt.Appendf(nil, format, args...)) }
	srv := &proactor.Server{
		Addr: *addr,
		Handler: proactor.Handler{
			Opened: func(c *proactor.Conn) {
				clients.Add(c.ID(), c)
				say("%d came, now there are %d\n", c.ID(), clients.Len())
			},
			Split:   frame.Delimiter{Delim: "\n", Max: 1000}.Split,
			Message: func(c *proactor.Conn, line []byte) { say("%d: %s\n", c.ID(), line) },
			Closed: func(c *proactor.Conn, cause error) {
				clients.Remove(c.ID(), c)
				say("%d left: %v\n", c.ID(), cause)
			},
		},
		// A client that does not read is cut off once 1 MiB waits for it. The default would
		// stop reading its lines instead, which does not help: the others are the senders.
		Limits: proactor.Limits{Overflow: proactor.CloseSlow, MaxPending: 1 << 20},
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	log.Print("listening on ", srv.ListenAddr())
	<-ctx.Done()
	srv.Close()
}
