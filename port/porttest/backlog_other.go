//go:build !linux

package porttest

// crowded has no plain listener with a small backlog here.
func (r *rig) crowded() (address string, ok bool) { return "", false }
