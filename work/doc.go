// Package work serves messages with a pool of workers. It is for handlers that block:
// those that query a database, read a file, or compute for long. A callback of package
// proactor must not block, because the other connections of its loop wait meanwhile.
//
//	pool, err := work.New(work.Config{})
//	...
//	srv := &proactor.Server{Addr: ":5004", Handler: pool.Handler(work.Handler{
//		Handler: proactor.Handler{NewSplit: frame.Line(1000).Splitter},
//		Serve: func(ctx context.Context, r work.Request) error {
//			_, err := r.Conn.Write(slowly(ctx, r.Msg))
//			return err
//		},
//	})}
//
// # Order
//
// Each connection has a queue. Its messages are served one at a time, in the order of
// their arrival, so its replies go out in that order, too. Different connections are
// served at the same time.
//
// A connection that has messages waiting and none being served stands in the run queue,
// once, however many wait. So connections take turns, and one that sends a
// thousand requests does not hold up the others.
//
// The run queue is ordered by the time at which a connection entered it, less
// Config.Aging for each step of the priority of its next message (see
// [Handler.Priority]). An urgent message goes first, but never before one that
// has waited that much longer: nothing starves. Without priorities the order is first
// come, first served.
//
// # Bounds
//
// A message waits in a transfer buffer, which is a copy of it; the receive buffer is free again at
// once. When as many messages wait as Config.Queue, QueueBytes or PerConn allow, the pool stops
// reading a connection that brings one more, until there is room. No message is lost. Memory stays
// bounded: each connection may bring one message beyond the bound. In the end the peer's sends
// stop. Connections go on in the order in which they were stopped.
//
// The pool calls PauseRead and ResumeRead of its connections for that; no other code
// may call them.
//
// # Ends
//
// When a connection has closed, the context of its requests is done, and its messages that wait are
// dropped. A Serve that runs may go on, also after Handler.Closed was called. When
// only the peer's sending side has closed, the framing is broken, or the server
// shuts down, all messages that came before are served first; then Handler.Ended is called.
//
// To end, shut down the servers first, then the pool.
package work
