//go:build !linux

package proactor_test

import (
	"net"
	"testing"
)

func shrinkBacklog(*testing.T, *net.TCPListener) {}
