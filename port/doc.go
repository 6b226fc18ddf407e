// Package port is the completion port: start operations on sockets, and
// dequeue their completions, in the same way on every system. It has five
// backends behind one contract: IOCP on Windows, io_uring and epoll on Linux,
// package net wherever Go runs, and a network in memory for tests.
//
// # The pattern
//
// There are four calls, and a fifth. Open a port. Associate a socket with it,
// under a key of your choice. Start operations on the socket, each with an
// [Op], the record that stands for it. Dequeue completions: each names its
// operation, its kind, its key and what came of it. And Post a completion by
// hand, to tell the goroutine that dequeues something.
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
//			case port.KindRecv:   // c.N bytes came
//			case port.KindSend:   // the system took c.N bytes
//			}
//		}
//	}
//
// # The contract
//
// Every backend keeps it; package porttest checks each clause on each.
//
//  1. Every started operation has exactly one final completion, also when it
//     is canceled, or when its socket is closed or reset.
//  2. Op and buffer belong to the port from start to final completion, and
//     never after.
//  3. After the completion of a socket's close nothing is delivered for it.
//     Handles carry a generation: a descriptor that the system uses again
//     never gets the completions of the connection before.
//  4. Data, then end of stream: bytes that arrived before a FIN are delivered
//     before it. After a FIN the other direction still works.
//  5. Errors are the same values on every system ([ErrReset], [ErrRefused],
//     ...), with the system's own below them.
//  6. Out of descriptors, memory or buffers is an error of that operation
//     alone; the port goes on.
//
// A socket has at most one recv (or accept) and one send (or connect)
// outstanding; a second one is refused with [ErrBusy]. A splice is the recv of one
// socket and the send of another. A send is done when all
// of its bytes are taken, so order and partial sends are no concern of the
// caller.
//
// # Who may call what
//
// An Exclusive port is driven by the goroutine that opened it, without a lock.
// A Shared port may be used by any number of goroutines. In both, [Port.Post]
// and [Port.Cancel] may be called from anywhere.
package port
