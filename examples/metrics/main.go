// Command metrics is an echo server that shows its counters to Prometheus.
//
//	go run ./examples/metrics                     # in one terminal
//	curl http://127.0.0.1:9100/metrics            # in another
package main

import (
	"flag"
	"log"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/metrics"
)

func main() {
	addr := flag.String("listen", "127.0.0.1:8090", "address to listen on")
	page := flag.String("metrics", "127.0.0.1:9100", "address of /metrics")
	flag.Parse()

	engine, err := proactor.NewEngine(proactor.Config{})
	if err != nil {
		log.Fatal(err)
	}
	srv := &proactor.Server{Addr: *addr, Engine: engine, MaxConns: 10_000, Handler: proactor.Handler{
		Data: func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
	}}
	if err := srv.Listen(); err != nil {
		log.Fatal(err)
	}

	prometheus.MustRegister(metrics.Engine(engine), metrics.Server("echo", srv))
	http.Handle("/metrics", promhttp.Handler())
	l, err := net.Listen("tcp", *page)
	if err != nil {
		log.Fatal(err)
	}
	go func() { log.Fatal(http.Serve(l, nil)) }()
	log.Print("listening on ", srv.ListenAddr())
	log.Fatal(srv.Wait())
}
