//go:build linux

package main

import "fmt"

// measureEcho keeps windows of messages full, and has them echoed.
func measureEcho(b bout) (row, error) { return measureWindows(b, echo) }

// measureFramed does the same with messages that begin with their length, which
// the server has to cut out of the stream.
func measureFramed(b bout) (row, error) {
	if b.Size <= headerSize {
		return row{}, fmt.Errorf("a framed message has more than %d bytes", headerSize)
	}
	return measureWindows(b, framed)
}

// measureWritten is measureEcho for servers that write what they answer.
func measureWritten(b bout) (row, error) { return measureWindows(b, written) }

// measureWorked is measureFramed for servers whose workers answer.
func measureWorked(b bout) (row, error) { return measureWindows(b, worked) }

// measureSockets is measureEcho by WebSockets.
func measureSockets(b bout) (row, error) { return measureWindows(b, sockets) }

func measureWindows(b bout, p protocol) (row, error) {
	return b.against(p, "", func(s *process) (row, error) {
		c, err := newWindows(b.workload, p.wire(), s.addr)
		if err != nil {
			return row{}, err
		}
		defer c.close()
		return c.timed(b, float64(c.size), s)
	})
}
