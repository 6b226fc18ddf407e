// Package proactor is a TCP server framework on completion ports: IOCP on Windows, io_uring
// or epoll on Linux, and package net elsewhere, with the same contract on all of them. A few
// goroutines carry any number of connections. An idle connection costs a descriptor and a
// record of a few hundred bytes.
//
//	srv := &proactor.Server{Addr: ":5001", Handler: proactor.Handler{
//		Data: func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
//	}}
//	log.Fatal(srv.ListenAndServe())
//
// # Parts
//
// An [Engine] is a number of loops. Each loop is one goroutine with a completion port. A
// [Server] accepts connections and a [Dialer] makes them; any number of both share an
// engine. A [Handler] has the callbacks of their connections, and [Limits] bound what one
// connection may take. A [Redialer] dials again whenever its connection is lost. A [Registry]
// keeps connections by a key and writes to all of them. [Conn.Relay] sends what arrives on
// one connection to another, inside the system if the system can, and [Join] does so for a pair.
// [Server.TLS] and [Dialer.TLS] have connections speak TLS, from the first byte, and
// [Conn.StartTLS] from a later one; a [Layer] changes bytes in any other
// way. [Server.Adopt] takes over a connection of package net, and [Conn.Detach] gives one back.
//
// Package frame cuts a stream into messages. Package work serves messages on a pool of
// goroutines that may block. Package proactortest tests handlers on simulated networks.
// Package netconn has a net.Listener and net.Conn over this one, for net/http and others. Package
// websocket has WebSockets. Package certs loads a certificate again when its files change. Package
// ops has what a main function does beside serving: signals, systemd, upgrades in place. Package
// admin is a page for operators, package metrics is for Prometheus. Package port is the completion
// port itself.
//
// # Goroutines
//
// A [Conn] stays on one loop, which makes all of its callbacks, one after the other. So the
// callbacks of a connection need no lock among themselves. They must not block: one that
// takes longer than Config.SlowCallback is logged and counted. Any goroutine may call any
// method, in callbacks and elsewhere, unless the method's comment says otherwise. Methods
// that wait fail with [ErrOnLoop] in a callback of any engine. No lock is held while a
// callback runs. Connections and servers live until they are closed or their engine is,
// whatever becomes of the goroutine that started them.
//
// [Conn.Loop] is the loop of a connection. [Dialer.DialOn] connects on that loop, and
// [PerLoop] is a variable that each loop has for itself. So a pool of connections to a
// backend, for example, needs no lock.
//
// # Buffers
//
// Bytes that a callback is given are valid until it returns. [Conn.Write] copies the bytes
// that it cannot send at once. [Conn.WriteShared] keeps its bytes, which must not change any
// more. [Conn.WriteLent] sends bytes that the callback was given, from the buffer in which they
// were received. A connection holds no buffer while nothing arrives and nothing waits to be sent.
//
// # Order
//
// The bytes of a Write stay together, and Writes go out in the order of the calls. Bytes
// that arrived before a FIN are delivered before it. [Handler.Opened] is the first callback of a
// connection. [Handler.Closed] is the last. It is called once, with the cause:
// [ErrPeerClosed], [ErrLocalClosed], [ErrServerClosed], [ErrEngineClosed], a timeout
// ([ErrIdle], [ErrReadTimeout], [ErrWriteTimeout], [ErrFirstByte], [ErrTooSlow]), a limit
// ([ErrTooLong], [ErrInbound], [ErrBacklog]); with TLS [ErrTruncated] or one of crypto/tls, after
// [Conn.StartTLS] also [ErrPlaintext], [ErrHandshake] or [ErrCrowded]; [ErrRelayEnd], a
// [*JoinError], [ErrDetached], [ErrConsumed], a [*PanicError], an error of the handler's framing or
// layer, or one of the system, such as port.ErrReset.
//
// # Memory
//
// Bytes that wait to be sent are bounded for each connection (Limits.MaxPending) and for all
// together (Config.MaxOutbound). While a peer reads too slowly, its connection is not read
// either, unless Limits.Overflow says otherwise. Bytes that were received and not consumed are
// bounded for each connection (Limits.MaxMessage), and their memory for all together
// (Config.MaxInbound).
//
// # Public addresses
//
// By default memory is bounded, dead peers are found (Limits.KeepAlive), a closed connection
// does not linger for long, and a server that runs out of descriptors waits until it gets
// some. Time and the number of connections are not bounded, because no bound suits
// all: devices that send something once a day, clients that only listen, people who type, a
// thousand users behind one address. An idle connection costs a descriptor and little else.
// On a public address, set what is right for your protocol:
//
//	srv.MaxConns = 50_000             // below the limit of descriptors
//	srv.MaxConnsPerPeer = 500         // of an IPv4 address, or an IPv6 /64
//	srv.Limits = proactor.Limits{
//		FirstByteTimeout: 30 * time.Second, // if clients speak first
//		MinRate:          100,              // bytes a second, within a message
//		IdleTimeout:      10 * time.Minute, // if silence means the end
//		WriteTimeout:     time.Minute,      // for peers that read nothing
//	}
//
// [LimitCounts], a part of [Stats], counts what each limit has done.
package proactor
