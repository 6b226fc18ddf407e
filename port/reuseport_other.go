//go:build !linux

package port

// balances: the system spreads connections over the listeners of an address. The
// BSDs have SO_REUSEPORT, where the last listener gets all of them.
const balances = false

func reusePort(int) error { return ErrUnsupported }
