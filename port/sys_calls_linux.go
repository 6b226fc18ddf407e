package port

import (
	"net"
	"os"
	"time"
)

// socketCalls is what epoll and io_uring do alike: the calls about a socket that end at once.
type socketCalls struct{}

func (socketCalls) listen(a Addr, o SocketOptions) (Socket, error) { return listenSocket(a, o) }
func (socketCalls) socket(local Addr, o SocketOptions) (Socket, error) {
	return connectSocket(local, o)
}
func (socketCalls) file(s *sock) (*os.File, error)       { return socketFileOf(s) }
func (socketCalls) plain(sk Socket) (net.Conn, error)    { return plainConn(sk) }
func (socketCalls) discard(s Socket)                     { discardSocket(s) }
func (socketCalls) peerAddr(s Socket) (Addr, error)      { return remoteAddr(int(s)) }
func (socketCalls) localAddr(s *sock) (Addr, error)      { return localAddr(int(s.sys)) }
func (socketCalls) remoteAddr(s *sock) (Addr, error)     { return remoteAddr(int(s.sys)) }
func (socketCalls) acked(s *sock) int64                  { return acked(int(s.sys)) }
func (socketCalls) silence(s *sock) (time.Duration, int) { return silence(int(s.sys)) }
func (socketCalls) failed(s *sock, ended bool) error     { return failed(s, ended) }
func (socketCalls) shutdown(s *sock) error               { return shutdownSocket(int(s.sys)) }
