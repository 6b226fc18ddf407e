// Package hub has rooms that reach over many processes: members join them, messages go to all members wherever they
// are, and each node knows who is there. Between the processes is NATS: a server in each process that finds the
// others, or one that is there already.
//
//	h, err := hub.Open(hub.Options{})                        // a node of its own
//	h, err := hub.Open(hub.Options{Cluster: ":6222", Join: []string{"10.0.0.8:6222"}, Secret: s})
//	h, err := hub.Open(hub.Options{URL: "nats://10.0.0.9"})  // a NATS that is there
//
// A connection is a member by way of a [Protocol], which encodes each event once for all members of a node:
//
//	protocol := &hub.Protocol{Encode: func(e *hub.Event) []byte {
//		if e.Kind != hub.Message {
//			return nil // not told
//		}
//		return e.Payload
//	}}
//	sockets := &websocket.Options{
//		Opened: func(c *websocket.Conn, _ *http.Request) {
//			seat, _ := h.Join("lobby", protocol.WebSocket(c), "", hub.Close)
//			c.SetValue(seat)
//		},
//		Message: func(_ *websocket.Conn, _ websocket.Type, p []byte) { h.Publish("lobby", p) },
//		Closed:  func(c *websocket.Conn, _ error) { c.Value().(*hub.Seat).Leave() }, // nil, if Join has failed
//	}
//
// Join, Leave and Publish may be called in callbacks. Publish puts the message into a bounded queue and returns. A message is
// written to connections by their loops, to some at a time. Join and Leave wait while that happens to some of the loop's, and while
// members that are no connections are written to.
//
// With Options.History messages are kept, and [Hub.Resume] gives a member that comes back what it has missed.
//
// What is promised, what goes over the wire, and how to secure it is in docs/scale.md.
package hub
