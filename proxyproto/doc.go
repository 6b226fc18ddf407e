// Package proxyproto implements the PROXY protocol, versions 1 and 2
// (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt), for servers behind a load balancer and for
// proxies. A proxy begins each connection with a header that says which client the connection is for.
//
//	srv.Layer = proxyproto.Receive(proxyproto.Options{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
//
// Then [proactor.Conn.RemoteAddr] is the client's address, also in logs, and
// Server.MaxConnsPerPeer counts by it. [Of] has the rest of the header. With Server.TLS the header comes
// first, in the clear, and then the handshake. Once its header has arrived, a connection is as fast as any
// other: this package has no part in it any more.
//
// [Send] is the other direction, for a Dialer. The headers are read and written by
// github.com/pires/go-proxyproto; where one ends in a stream that comes in pieces is found here.
package proxyproto
