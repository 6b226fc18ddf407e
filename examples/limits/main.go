// Command limits is an echo for a public address. Memory is bounded by default; time and numbers
// are not, because no bound suits all protocols. These suit one whose clients speak first.
//
//	go run ./examples/limits
//	nc 127.0.0.1 5007        # say nothing for ten seconds
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/proactor-go/proactor"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:5007", "address to listen on")
	flag.Parse()
	engine, err := proactor.NewEngine(proactor.Config{
		MaxInbound:  256 << 20, // memory for what was received and not consumed, of all connections
		MaxOutbound: 256 << 20, // bytes that wait to be sent, of all connections
	})
	if err != nil {
		log.Fatal(err)
	}
	defer engine.Close()
	srv := &proactor.Server{
		Addr: *addr, Engine: engine,
		MaxConns:        50_000, // more wait in the backlog; stay below the limit of descriptors
		MaxConnsPerPeer: 500,    // of an IPv4 address, or an IPv6 /64; more are reset
		Limits: proactor.Limits{
			FirstByteTimeout: 10 * time.Second, // clients that connect and say nothing
			IdleTimeout:      10 * time.Minute, // silence after that
			MinRate:          100,              // bytes a second within a message: clients that drip
			WriteTimeout:     time.Minute,      // clients that read nothing
			MaxMessage:       64 << 10,         // bytes of a message that has not ended
			MaxPending:       256 << 10,        // bytes that wait to be sent to one client
		},
		Handler: proactor.Handler{
			Data:   func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
			Closed: func(c *proactor.Conn, cause error) { log.Print(c.RemoteAddr(), ": ", cause) },
		},
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}
	log.Print("listening on ", srv.ListenAddr())
	<-ctx.Done()
	srv.Close()
	log.Printf("what each limit has done: %+v", engine.Stats().Limited)
}
