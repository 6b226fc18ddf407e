package tls_test

import (
	"crypto/tls"
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/tests/rig"
)

// functions are those of a server's tls.Config that are told the name that a client wants.
var functions = map[string]func(c *tls.Config, wait func(name string)){
	"GetCertificate": func(c *tls.Config, wait func(string)) {
		pair := &c.Certificates[0]
		c.Certificates = nil
		c.GetCertificate = func(h *tls.ClientHelloInfo) (*tls.Certificate, error) { wait(h.ServerName); return pair, nil }
	},
	"GetConfigForClient": func(c *tls.Config, wait func(string)) {
		c.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) { wait(h.ServerName); return nil, nil }
	},
	"VerifyConnection": func(c *tls.Config, wait func(string)) {
		c.VerifyConnection = func(s tls.ConnectionState) error { wait(s.ServerName); return nil }
	},
	"VerifyConnection of what GetConfigForClient gives": func(c *tls.Config, wait func(string)) {
		other := c.Clone()
		other.VerifyConnection = func(s tls.ConnectionState) error { wait(s.ServerName); return nil }
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) { return other, nil }
	},
	"WrapSession": func(c *tls.Config, wait func(string)) {
		keys := c.Clone()
		c.WrapSession = func(s tls.ConnectionState, session *tls.SessionState) ([]byte, error) {
			wait(s.ServerName)
			return keys.EncryptTicket(s, session)
		}
	},
}

// Functions of the tls.Config that wait hold up their own handshakes, and no others.
func TestFunctionsWait(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for what, set := range functions {
			t.Run(what, func(t *testing.T) {
				r := rig.New(t, backend)
				serves, dials := rig.TLS()
				n := (runtime.GOMAXPROCS(0)+1)/2 + 1 // more than may compute
				begun, goOn := make(chan bool, n), make(chan bool)
				release := sync.OnceFunc(func() { close(goOn) })
				t.Cleanup(release) // before the engine ends
				set(serves, func(name string) {
					if name == "other" {
						begun <- true
						<-goOn
					}
				})
				s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves), rig.Limits(proactor.Limits{HandshakeTimeout: -1}))
				echoes := func(c *tls.Conn) {
					if _, err := c.Write([]byte("x")); err != nil {
						t.Error(err)
						return
					}
					must.Read(t, c, []byte("x"))
					c.Close()
				}
				waits := dials.Clone()
				waits.ServerName, waits.ClientSessionCache = "other", tls.NewLRUClientSessionCache(n)
				var all sync.WaitGroup
				for range n {
					c := tls.Client(rig.Client(t, s), waits)
					all.Go(func() { echoes(c) })
				}
				for range n {
					must.Take(t, what, begun)
				}
				echoes(client(r, s, dials))
				release()
				all.Wait()
				for range n + 1 {
					r.Ends(proactor.ErrPeerClosed)
				}
			})
		}
	})
}

// Session tickets are those of the keys that the server's tls.Config has now, whatever functions
// it has.
func TestTicketKeys(t *testing.T) {
	eachVersion(t, func(r *rig.Rig, version uint16, serves, dials *tls.Config) {
		functions["VerifyConnection"](serves, func(string) {})
		s := r.Serve(proactor.Handler{Data: rig.Echo}, withTLS(serves))
		dials.ClientSessionCache = tls.NewLRUClientSessionCache(1)
		for i, tt := range []struct {
			key     byte // that is set before; 0: none is
			resumes bool
		}{{0, false}, {0, true}, {1, false}, {0, true}, {2, false}, {0, true}} {
			if tt.key != 0 {
				serves.SetSessionTicketKeys([][32]byte{{tt.key}})
			}
			c := client(r, s, dials)
			must.Send(r.T, c, []byte("x")) // its answer comes behind the session ticket
			must.Read(r.T, c, []byte("x"))
			if resumed := c.ConnectionState().DidResume; resumed != tt.resumes {
				r.Errorf("%s, connection %d: resumed: %v", tls.VersionName(version), i, resumed)
			}
			c.Close()
			r.Ends(proactor.ErrPeerClosed)
		}
	})
}

// A function of the tls.Config that waits when its connection ends is told by its context, and
// the engine's Close waits for it. One that calls Close does not wait for itself.
func TestFunctionAtTheEnd(t *testing.T) {
	rig.Each(t, func(t *testing.T, backend string) {
		for _, itself := range []bool{false, true} {
			r := rig.New(t, backend)
			serves, dials := rig.TLS()
			begun, closed, told := make(chan bool, 1), make(chan bool), make(chan error, 1)
			serves.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
				begun <- true
				if itself {
					told <- r.Engine.Close()
					return nil, nil
				}
				<-h.Context().Done()
				select {
				case <-closed:
					told <- errors.New("Close returned before the function did")
				case <-time.After(must.Short):
					told <- nil
				}
				return nil, nil
			}
			s := r.Serve(proactor.Handler{}, withTLS(serves), rig.Limits(proactor.Limits{HandshakeTimeout: -1}))
			must.Send(t, rig.Client(t, s), hello(t, dials))
			must.Take(t, "a handshake", begun)
			if !itself {
				r.Engine.Close()
				close(closed)
			}
			if err := must.Take(t, "the function's end", told); err != nil {
				t.Error(err)
			}
		}
	})
}
