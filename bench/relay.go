//go:build linux

package main

// behindProxies is the echo server that every proxy stands before.
const behindProxies = "epoll-bare"

// measureRelay measures a proxy that stands before an echo server. That one is a
// process of its own, beside the load, and does not count. A unit is a MiB that
// the proxy has passed on: what is echoed passes it twice.
func measureRelay(b bout) (row, error) {
	behind, err := start(find(servers, behindProxies), echo, task{}, b.loadCPUs())
	if err != nil {
		return row{}, err
	}
	defer behind.stop()
	return b.against(relay, behind.addr, func(s *process) (row, error) {
		c, err := newWindows(b.workload, relay, s.addr)
		if err != nil {
			return row{}, err
		}
		defer c.close()
		return c.timed(b, 1<<20/2, s, behind)
	})
}
