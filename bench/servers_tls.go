//go:build linux

package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net"

	nbtls "github.com/lesismal/llib/std/crypto/tls"
	"github.com/lesismal/nbio"
	nbsecure "github.com/lesismal/nbio/extension/tls"
	nblog "github.com/lesismal/nbio/logging"
	"golang.org/x/sys/unix"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/selfsigned"
)

// The echo over TLS. Each has a certificate (ECDSA, P-256) that is made for the run; the client
// says which version and which key exchange.

func serverTLS() (*tls.Config, error) {
	pair, _, err := selfsigned.Pair()
	return &tls.Config{Certificates: []tls.Certificate{pair}}, err
}

func proactorTLS(e *proactor.Engine, t task) error {
	config, err := serverTLS()
	if err != nil {
		return err
	}
	s := &proactor.Server{Addr: t.Addr, Engine: e, TLS: config, Handler: proactor.Handler{
		Data: func(c *proactor.Conn, p []byte) int { c.Write(p); return len(p) },
	}}
	return s.ListenAndServe()
}

// netTLS has a goroutine for each connection, and a buffer for a record.
func netTLS(t task) error {
	config, err := serverTLS()
	if err != nil {
		return err
	}
	return acceptEach(t.Addr, func(plain *net.TCPConn) {
		go echoConn(tls.Server(plain, config), 16<<10)
	})
}

// nbioTLS has the event loops drive nbio's fork of crypto/tls.
func nbioTLS(t task) error {
	pair, _, err := selfsigned.Pair()
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		return err
	}
	forked, err := nbtls.X509KeyPair(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}))
	if err != nil {
		return err
	}
	config := &nbtls.Config{Certificates: []nbtls.Certificate{forked}}
	nblog.SetLevel(nblog.LevelNone)
	e := nbio.NewEngine(nbio.Config{Network: "tcp", Addrs: []string{t.Addr}, NPoller: t.Loops, MaxWriteBufferSize: 64 << 20})
	buffer := make([]byte, 64<<10) // of the loop
	e.OnOpen(nbsecure.WrapOpen(config, false, nil))
	e.OnClose(nbsecure.WrapClose(nil))
	e.OnData(nbsecure.WrapData(func(_ *nbio.Conn, c *nbsecure.Conn, p []byte) { c.Write(p) }, func() []byte { return buffer }))
	if err := e.Start(); err != nil {
		return err
	}
	select {} // until the process is killed
}

// bareTLS is the limit: one thread that waits with epoll and drives crypto/tls, which
// receives into its own buffer and sends out of it. It answers a handshake before anything else.
func bareTLS(t task) error {
	config, err := serverTLS()
	if err != nil {
		return err
	}
	lfd, err := bareListen(t.Addr, unix.SOCK_NONBLOCK)
	if err != nil {
		return err
	}
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	if err := watch(ep, lfd); err != nil {
		return err
	}
	conns := map[int32]*tls.Conn{}
	buf := make([]byte, 64<<10)
	events := make([]unix.EpollEvent, 1024)
	for {
		for _, ev := range events[:epollWait(ep, events)] {
			switch c := conns[ev.Fd]; {
			case int(ev.Fd) == lfd:
				bareAccept(ep, lfd, conns, config)
			case c != nil && !bareEcho(c, buf):
				delete(conns, ev.Fd)
				unix.Close(int(ev.Fd))
			}
		}
	}
}

func bareAccept(ep, lfd int, conns map[int32]*tls.Conn, config *tls.Config) {
	for {
		fd, _, err := unix.Accept4(lfd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			return
		}
		unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
		below := waiting(fd)
		c := tls.Server(below, config)
		if c.Handshake() != nil || watch(ep, fd) != nil {
			unix.Close(fd)
			continue
		}
		below.pause = nil
		conns[int32(fd)] = c
	}
}

// bareEcho echoes all that has come; false when the connection has ended.
func bareEcho(c *tls.Conn, buf []byte) bool {
	for {
		n, err := c.Read(buf)
		if err != nil {
			return err == errLater
		}
		if _, err := c.Write(buf[:n]); err != nil {
			return false
		}
	}
}
