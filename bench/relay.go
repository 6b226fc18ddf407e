//go:build linux

package main

// behindProxies is the echo server that every proxy stands before.
const behindProxies = "epoll-bare"

// measureRelay measures a proxy that stands before an echo server. That one is a
// process of its own, beside the load, and does not count. A unit is a MiB that
// the proxy has passed on: what is echoed passes it twice.
func measureRelay(b bout) (row, error) { return measureBefore(b, relay) }

// measureRelayTLS is measureRelay with TLS between the client and the proxy.
func measureRelayTLS(b bout) (row, error) { return measureBefore(b, relaySecured) }

func measureBefore(b bout, p protocol) (row, error) {
	behind, err := start(find(servers, behindProxies), echo, task{}, b.loadCPUs())
	if err != nil {
		return row{}, err
	}
	defer behind.stop()
	return b.against(p, behind.addr, func(s *process) (row, error) {
		c, err := newWindows(b.workload, p.wire(), s.addr)
		if err != nil {
			return row{}, err
		}
		defer c.close()
		unit := float64(1 << 20 / 2)
		if p == relaySecured { // a message
			unit = float64(c.size)
		}
		return c.timed(b, unit, s, behind)
	})
}
