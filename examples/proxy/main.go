// Command proxy relays each client to another server (-to). On Linux the bytes do not leave
// the kernel. A side that reads slowly stops the reads of the other.
package main

import (
	"context"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/proactor-go/proactor"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:5004", "address to listen on")
	to := flag.String("to", "127.0.0.1:5001", "server to relay to")
	flag.Parse()
	var d proactor.Dialer
	srv := &proactor.Server{Addr: *addr}
	srv.Handler.Opened = func(client *proactor.Conn) {
		client.PauseRead() // until the server is there
		d.DialOn(context.Background(), client.Loop(), "tcp", *to, func(server *proactor.Conn, err error) {
			if err != nil {
				client.Abort()
				return
			}
			if proactor.Join(client, server) != nil {
				server.Abort() // the client has gone meanwhile
			}
			client.ResumeRead()
		})
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
