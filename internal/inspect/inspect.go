// Package inspect shows the tests of this module what an engine holds. Package proactor
// sets the functions; nothing but tests calls them.
package inspect

import "github.com/proactor-go/proactor/port"

var (
	// Ports is what is left on the port of each loop of a *proactor.Engine, also of one
	// that has ended. It waits for the loops.
	Ports func(engine any) []port.Stats
	// Peers is how many connections of a *proactor.Server count against its
	// MaxConnsPerPeer.
	Peers func(server any) int
	// Handshakes is how many TLS handshakes of a *proactor.Engine have a place, to compute or
	// for a goroutine, or wait for one.
	Handshakes func(engine any) int
)
