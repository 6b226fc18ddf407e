//go:build !linux

package port

// pipe: no backend splices here.
//
//lint:ignore U1000 see splice
type pipe struct{}
