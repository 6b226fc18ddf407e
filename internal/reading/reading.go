// Package reading is what package websocket may know of, and do with, the reading of a *proactor.Conn, and its
// users may not. Package proactor sets the functions.
package reading

var (
	// Yield stops the reading of a connection that is not Writable until it is, whatever Limits.Overflow says, as
	// PauseReads does. PauseRead and ResumeRead change nothing of that. In a callback of the connection.
	Yield func(conn any)
	// Paused reports whether a connection is not read because of PauseRead. On its loop.
	Paused func(conn any) bool
	// Within says whether what is consumed from now on is part of a message that has begun and goes on, of which
	// nothing need be kept: it is no boundary for a shutdown, and no progress for Limits.MinRate. False is for each
	// boundary, also where none was within: the next message has a window of MinRate of its own. In a function of
	// proactor.Messages. The end of the stream ends it, too, and so do SetHandler and Relay.
	Within func(conn any, on bool)
)
