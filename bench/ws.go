//go:build linux

package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
)

// The client's side of WebSockets (RFC 6455). What it sends, and what must come back, is made before:
// so it favours no server, and costs no more than the client of bytes.

// socketStreams are binary messages of a size, each a frame, which is masked on its way to the server.
func socketStreams(w workload, read int) (ask, answer stream) {
	payload := random(messagePeriod * w.Size)
	var asked, answered []byte
	for i := range messagePeriod {
		message := payload[i*w.Size:][:w.Size]
		asked = appendFrame(asked, message, uint32(i)*0x9e3779b9|1)
		answered = appendFrame(answered, message, 0)
	}
	size, back := len(asked)/messagePeriod, len(answered)/messagePeriod
	return repeated(asked, size, size, size*w.Flight), repeated(answered, back, back, read)
}

// appendFrame appends a message as one frame, masked unless mask is 0 (RFC 6455, 5.2).
func appendFrame(b, message []byte, mask uint32) []byte {
	const whole, binaryMessage, masked = 0x80, 2, 0x80
	at := len(b)
	b = append(b, whole|binaryMessage)
	switch n := len(message); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	if mask == 0 {
		return append(b, message...)
	}
	b[at+1] |= masked
	b = binary.BigEndian.AppendUint32(b, mask)
	for i, v := range message {
		b = append(b, v^byte(mask>>(24-8*(i%4))))
	}
	return b
}

// The request and the key of RFC 6455, 1.2 and 1.3, and the answer to that key.
const (
	upgradeRequest = "GET / HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
	upgradeAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// upgrade makes the handshake, and waits for it.
func upgrade(fd int) error { return upgradeAt(fd, "/") }

func upgradeAt(fd int, path string) error {
	c := waiting(fd)
	if _, err := c.Write([]byte(strings.Replace(upgradeRequest, "/", path, 1))); err != nil {
		return err
	}
	return upgraded(bufio.NewReaderSize(c, 512))
}

// upgraded reads the answer, which has nothing behind it.
func upgraded(from *bufio.Reader) error {
	r, err := http.ReadResponse(from, nil)
	switch {
	case err != nil:
		return err
	case r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Accept") != upgradeAccept:
		return fmt.Errorf("the answer is %s with %v", r.Status, r.Header)
	case from.Buffered() > 0:
		return fmt.Errorf("%d bytes follow the answer", from.Buffered())
	}
	return nil
}
