// Package port is the completion port: a program starts operations on sockets and dequeues
// their completions, in the same way on every system. It has five backends with one
// contract: IOCP on Windows, io_uring and epoll on Linux, package net wherever Go runs, and
// a network in memory for tests.
//
// # The pattern
//
// Open a port. Associate a socket with it, under a key of your choice. Start operations on
// the socket; each needs an [Op], the record that stands for it. Dequeue completions: each
// names its operation, its kind, its key and its result. And Post a completion by hand, to
// tell the goroutine that dequeues something.
//
//	p, err := port.Open(port.Config{})
//	l, err := p.Listen("tcp", ":5000", port.SocketOptions{})
//	h, err := p.Associate(l, 0)
//	err = p.Accept(&accept, h)
//	for {
//		n, err := p.Dequeue(batch[:], -1)
//		for i := range batch[:n] {
//			switch c := &batch[i]; c.Kind {
//			case port.KindAccept: // associate c.Socket, start a recv on it
//			case port.KindRecv:   // c.N bytes arrived
//			case port.KindSend:   // the system took c.N bytes
//			}
//		}
//	}
//
// # The contract
//
// Every backend keeps this contract. Package porttest checks each clause on each backend.
//
//  1. Every operation that was started has exactly one final completion, also when it is
//     canceled, and when its socket is closed or reset.
//  2. The Op and the buffer of an operation belong to the port from its start to its final
//     completion, and never after.
//  3. After the completion of a socket's close nothing is delivered for that socket. A
//     Handle carries a generation: when the system reuses a descriptor, the new connection
//     never gets completions of the old one.
//  4. Bytes that arrived before a FIN are delivered before the end of the stream. After a
//     FIN the other direction still works. Urgent bytes are bytes of the stream,
//     in their place (RFC 6093), on TCP and on Unix sockets, in recvs and in splices.
//  5. Errors are the same values on every system ([ErrReset], [ErrRefused], ...); they wrap
//     the system's own.
//  6. If descriptors, memory or buffers run out, that one operation fails. The port goes on.
//
// A socket has at most one recv (or accept) and one send (or connect) outstanding. A second
// one fails with [ErrBusy]. A splice is the recv of one socket and the send of another. A
// send completes when the system has taken all of its bytes, so partial sends
// need no code of the caller.
//
// # Goroutines
//
// The goroutine that opened an Exclusive port makes all calls, without a lock. Any number of
// goroutines may use a Shared port. On both, any goroutine may call [Port.Post] and
// [Port.Cancel].
package port
