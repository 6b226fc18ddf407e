// Command tls sends back lines in upper case, over TLS. crypto/tls is what speaks it; a
// connection has no goroutine once its handshake is done.
//
//	go run "$(go env GOROOT)/src/crypto/tls/generate_cert.go" --host localhost   # cert.pem, key.pem
//	go run ./examples/tls                                                        # in one terminal
//	openssl s_client -connect localhost:5001 -CAfile cert.pem -quiet             # in another
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"flag"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/proactor-go/proactor"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:5001", "address to listen on")
	cert := flag.String("cert", "cert.pem", "file of the certificate and those that vouch for it")
	key := flag.String("key", "key.pem", "file of its key")
	flag.Parse()
	pair, err := tls.LoadX509KeyPair(*cert, *key)
	if err != nil {
		log.Fatal(err)
	}
	srv := &proactor.Server{
		Addr: *addr,
		TLS:  &tls.Config{Certificates: []tls.Certificate{pair}},
		Handler: proactor.Handler{
			Opened: func(c *proactor.Conn) { log.Print(c.RemoteAddr(), ": ", tls.VersionName(c.TLS().Version)) },
			Data:   func(c *proactor.Conn, p []byte) int { c.Write(bytes.ToUpper(p)); return len(p) },
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
}
