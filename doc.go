// Package proactor is a TCP server framework on completion ports: IOCP on
// Windows, io_uring on Linux, epoll and package net elsewhere, with one contract
// on all of them. Any number of connections live on a few goroutines; an idle
// one costs a record of a few hundred bytes and nothing else.
//
//	srv := &proactor.Server{Addr: ":8090", Handler: proactor.Handler{
//		Data: func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
//	}}
//	log.Fatal(srv.ListenAndServe())
//
// # Parts
//
// An [Engine] is a number of loops, each one goroutine with a completion port.
// A [Server] accepts connections and a [Dialer] makes them; any number of both
// share an engine. A [Handler] is the callbacks of their connections, [Limits]
// what one may take. A [Keeper] dials again whenever its connection is lost, and
// a [Registry] keeps connections by a key and writes to all of them. [Conn.Relay]
// hands the bytes of one connection to another, inside the system where that can.
//
// Beside it are package frame, which cuts a stream into messages, package work,
// which serves messages by a pool of goroutines that may block, and package
// port, the completion port itself.
//
// # Goroutines
//
// A [Conn] stays on one loop, which makes all of its callbacks, one after the
// other: they need no lock among themselves, and must not block. Every method
// may be called by any goroutine, in callbacks and elsewhere, unless its comment
// says otherwise. No lock is held while a callback runs. Lifetimes hang on the
// engine, not on the goroutine that started something.
//
// # Buffers
//
// What a callback is given is valid until it returns. [Conn.Write] copies what it
// cannot send at once, [Conn.WriteShared] keeps what must not change any more, and
// [Conn.WriteLent] sends what the callback was given from where it was received. A
// connection on which nothing arrives and nothing waits holds no buffer.
//
// # Order
//
// One Write is one run of bytes, and Writes go out in the order of the calls.
// Bytes that came before a FIN are delivered before it. [Handler.Opened] is the
// first callback, [Handler.Closed] the last, once for each connection, with the
// cause: [ErrPeerClosed], [ErrLocalClosed], [ErrServerClosed], [ErrEngineClosed],
// a timeout ([ErrIdle], [ErrReadTimeout], [ErrWriteTimeout], [ErrFirstByte],
// [ErrTooSlow]), a limit ([ErrTooLong], [ErrInbound], [ErrBacklog]), a
// [*PanicError], an error of the handler's framing, or one of the system, such
// as port.ErrReset.
//
// # Memory
//
// What waits to be sent is bounded for each connection (Limits.MaxPending) and
// for all together (Config.MaxOutbound). A connection whose peer reads too
// slowly is not read either, unless Limits.Overflow says something else. What
// was received and not consumed is bounded for each (Limits.MaxMessage) and for
// all together (Config.MaxInbound).
//
// # Public addresses
//
// By default memory is bounded, peers that are dead are found
// (Limits.KeepAlive), a closed connection does not linger for long, and out of
// descriptors a server waits until there are some. Time and numbers are not
// bounded, because no bound would suit all: devices that say something once a
// day, clients that only listen, people who type, a thousand users behind one
// address. Strangers who hold connections cost no goroutine and little memory
// here, but descriptors. Whoever serves strangers knows what is legitimate and sets
//
//	srv.MaxConns = 50_000             // below the limit of descriptors
//	srv.MaxConnsPerPeer = 500         // of an IPv4 address, or an IPv6 /64
//	srv.Limits = proactor.Limits{
//		FirstByteTimeout: 30 * time.Second, // where clients speak first
//		MinRate:          100,              // bytes a second, within a message
//		IdleTimeout:      10 * time.Minute, // where silence means that it is over
//		WriteTimeout:     time.Minute,      // of a peer that takes nothing
//	}
//
// What each limit has done is counted in [Limited], a part of [Stats].
package proactor
