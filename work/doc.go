// Package work serves the messages of connections by a pool of workers, for
// handlers that block: that ask a database, read a file, or just compute for
// long. A callback of package proactor must not, for the other connections of
// its loop wait meanwhile.
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
// Each connection is a lane: its messages are served one at a time, in the
// order in which they came, so its replies are, too. Different connections are
// served at the same time. A lane that has something to serve, and is not being
// served, stands in the run queue once, whatever it has: connections take
// turns, and one that sends a thousand requests holds no other up.
//
// The run queue is ordered by the time at which a lane came to stand there, put
// back by Config.Aging for each step of the priority of its next message, see
// [Handler.Priority]. So an urgent message goes first, but never before one that
// has waited so much longer: nothing starves. Without priorities that is first
// come, first served.
//
// # Bounds
//
// A message waits in a transfer buffer, a copy of what was received; the
// buffers of the loop are free again at once. When as many wait as Config.Queue,
// QueueBytes or PerConn allow, a connection that brings one more is not read
// from then on until there is room: no message is lost, memory stays bounded
// (by one message a connection more), and in the end the peer's sends stop.
// Connections go on in the order in which they were stopped.
//
// For that the pool calls PauseRead and ResumeRead of its connections; nobody
// else may.
//
// # Ends
//
// When a connection has closed, its context is done, and those of its messages
// that wait are dropped. What runs may go on, also after Handler.Closed was
// called. When only the peer's sending side has closed, or the framing is
// broken, or the server shuts down, all that came before is served first:
// Handler.Ended is called after it.
//
// To end, shut the servers down first, then the pool.
package work
