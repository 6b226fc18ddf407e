// Package proxyproto has a server stand behind a load balancer, and a proxy before one: the PROXY
// protocol, versions 1 and 2 (https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt). A proxy
// begins each connection with a header that tells for whom it is.
//
//	srv.Layer = proxyproto.Receive(proxyproto.Options{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
//
// From then on [proactor.Conn.RemoteAddr] is the client's address, in logs, too, and
// Server.MaxConnsPerPeer counts that. [Of] has the rest of the header. With Server.TLS the header comes
// first, in the clear, and then the handshake. Nothing of this package is left of a connection when its
// header has come: it is as fast as any other.
//
// [Send] is the other direction, for a Dialer. The headers are read and written by
// github.com/pires/go-proxyproto; where one ends in a stream that comes in pieces is found here.
package proxyproto
