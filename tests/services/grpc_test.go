// Package services has services of others, which are written for package net, run on netconn, and
// meets them with their own clients and tests. It is a module of its own, so that users of proactor
// do not depend on them.
package services

import (
	"context"
	"crypto/tls"
	"net"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/internal/selfsigned"
	"github.com/proactor-go/proactor/netconn"
	"github.com/proactor-go/proactor/port/porttest"
)

// cases are those of gRPC's interoperability suite that need nothing but a server and a client. One
// that fails ends the process, and says why.
var cases = map[string]func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption){
	"empty unary call":             interop.DoEmptyUnaryCall,
	"large unary call":             interop.DoLargeUnaryCall,
	"client streaming":             interop.DoClientStreaming,
	"server streaming":             interop.DoServerStreaming,
	"ping pong":                    interop.DoPingPong,
	"empty stream":                 interop.DoEmptyStream,
	"timeout on a sleeping server": interop.DoTimeoutOnSleepingServer,
	"cancel after begin":           interop.DoCancelAfterBegin,
	"cancel after first response":  interop.DoCancelAfterFirstResponse,
	"custom metadata":              interop.DoCustomMetadata,
	"status code and message":      interop.DoStatusCodeAndMessage,
	"special status message":       interop.DoSpecialStatusMessage,
}

// TestGRPC has gRPC's own client and server pass its interoperability cases, with netconn on both
// sides, and on either beside package net; in the clear and over TLS, which gRPC does itself.
func TestGRPC(t *testing.T) {
	pair, pool, err := selfsigned.Pair("server")
	if err != nil {
		t.Fatal(err)
	}
	porttest.Each(t, func(t *testing.T, backend string) {
		for _, sides := range []struct{ name, server, client string }{
			{"both", "netconn", "netconn"}, {"server", "netconn", "net"}, {"client", "net", "netconn"},
		} {
			for what, creds := range map[string][2]credentials.TransportCredentials{
				"clear": {insecure.NewCredentials(), insecure.NewCredentials()},
				"TLS": {
					credentials.NewTLS(&tls.Config{Certificates: []tls.Certificate{pair}}),
					credentials.NewTLS(&tls.Config{RootCAs: pool, ServerName: "server"}),
				},
			} {
				t.Run(sides.name+", "+what, func(t *testing.T) {
					must.LeaveNothing(t)
					e := engine(t, backend)
					s := grpc.NewServer(grpc.Creds(creds[0]))
					testgrpc.RegisterTestServiceServer(s, interop.NewTestServer())
					l := listen(t, e, sides.server)
					served := make(chan error, 1)
					go func() { served <- s.Serve(l) }()
					dial := (&net.Dialer{}).DialContext
					if sides.client == "netconn" {
						dial = (&netconn.Dialer{Engine: e}).DialContext
					}
					c, err := grpc.NewClient("passthrough:"+l.Addr().String(), grpc.WithTransportCredentials(creds[1]),
						grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) { return dial(ctx, "tcp", addr) }))
					if err != nil {
						t.Fatal(err)
					}
					for name, run := range cases {
						t.Log(name)
						run(must.Context(t), testgrpc.NewTestServiceClient(c))
					}
					interop.DoUnimplementedMethod(must.Context(t), c)
					interop.DoUnimplementedService(must.Context(t), testgrpc.NewUnimplementedServiceClient(c))
					c.Close()
					s.GracefulStop()
					if err := must.Take(t, "Serve", served); err != nil {
						t.Errorf("Serve: %v", err)
					}
				})
			}
		}
	})
}
