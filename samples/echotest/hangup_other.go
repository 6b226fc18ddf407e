//go:build !windows

package echotest

import "net"

// hangUp closes a connection on which a Write may be stuck.
func hangUp(c *net.TCPConn) { c.Close() }
