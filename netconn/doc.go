// Package netconn gives what is written for package net connections of proactor: a
// net.Listener over a [proactor.Server], with its limits and counters, a net.Conn over a
// [proactor.Conn], and a dialer as http.Transport wants it.
//
//	l, err := netconn.Listen(&proactor.Server{Addr: ":8080", MaxConns: 10_000})
//	if err != nil { ... }
//	http.Serve(l, handler)
//
// A connection can leave its goroutine for the loops when it begins to be one of very many,
// see [Conn.Attach], and the other way round, see [Hijack].
//
// # What waits, and where
//
// The loop of a connection receives. It copies what arrives to a Read that waits or, where
// none does, to memory of the connection: 64 KiB at the most. Then the loop stops to read
// the connection, and the peer's sends stop, until a Read has made room. What the system had
// delivered by then is kept by the engine, see Config.MaxInbound. A connection on which
// nothing waits has no buffer.
//
// A Write is the caller's: it sends at once what the system takes, and queues the rest, up to
// Limits.HighWater bytes. Over that it waits until the peer has taken enough. So as on a
// connection of package net, what a Write has returned for may still wait to be sent, and
// a deaf peer is found by a write deadline, or Limits.WriteTimeout.
//
// Reads and writes do not wait for each other, whatever Limits.Overflow says: Listen and
// Dialer set RejectWrites, under which a connection is read while bytes wait to be sent.
//
// # What differs from package net
//
// Close loses nothing: bytes that wait are sent, then a FIN, and bytes of the peer that
// arrive meanwhile do not reset the connection, see Limits.LingerTimeout. Server.MaxConns and
// the descriptor count until that is over. There is no SyscallConn and no File: the loop has
// the descriptor.
//
// Read and Write wait, so in a callback of any loop they fail with [proactor.ErrOnLoop] where
// they would have to. [proactor.Server.Shutdown] ends the streams that connections read: their
// Reads fail with [proactor.ErrServerClosed], Writes go on until Close. So
// [Listener.Shutdown] has http.Server.Shutdown go first.
//
// An http.Server keeps a goroutine and its buffers for each connection, as on package net. What it
// gains is the limits, counters and shutdown of the Server, and that a connection can leave for
// the loops.
//
// # TLS
//
// With Server.TLS, Accept gives a *tls.Conn, as does Dial with Dialer.TLS. Its handshake was made
// as for any connection of the framework, with its bounds, timeout and counters, and has ended. So
// net/http, which looks for a *tls.Conn, has Request.TLS and, where TLS.NextProtos has "h2",
// HTTP/2. The goroutine that reads and writes decrypts and encrypts. [Of] finds the Conn that is
// below; its Attach gives the connection to a handler, for which the loop does that.
//
// A Write of a *tls.Conn that has run into its deadline ends it for good: see package crypto/tls.
package netconn
