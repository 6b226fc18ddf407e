package hub

import (
	"cmp"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// pendingMost bounds what the server in this process keeps for the hub, in bytes. For another node it keeps three quarters
// of that.
const pendingMost = 64 << 20

// startServer starts the NATS server in this process. Clients reach it in the process alone, and other
// nodes by routes, if there is an address for them. password is the hub's own, and dir is for a history in memory.
func startServer(o *Options, dir, password string, log *slog.Logger) (*server.Server, error) {
	so := &server.Options{
		ServerName: o.Name + "-" + rand.Text()[:8], // in a cluster of NATS no two may have one name
		DontListen: true, NoSigs: true, NoLog: true,
		Username: "hub", Password: password,
		MaxPayload: MaxPayload + 4<<10, WriteDeadline: 10 * time.Second,
		// What finds no place on the route to a node that takes nothing is lost. Otherwise who publishes would be
		// held up, and a route has no bound.
		MaxPending: pendingMost, NoFastProducerStall: true,
	}
	if o.Cluster == "" && len(o.Join) > 0 {
		return nil, errors.New("hub: Join needs Cluster: the other nodes come to it, too")
	}
	if o.Cluster != "" {
		if err := clusterOptions(so, o); err != nil {
			return nil, err
		}
	}
	if o.History != nil {
		if err := streamOptions(so, o.Name, cmp.Or(o.History.Dir, dir)); err != nil {
			return nil, err
		}
	}
	s, err := server.NewServer(so)
	if err != nil {
		return nil, fmt.Errorf("hub: %w", err)
	}
	failed := make(chan error, 1)
	s.SetLoggerV2(natsLog{log, failed}, false, false, false)
	go s.Start()
	ready := make(chan bool, 1)
	go func() { ready <- s.ReadyForConnections(time.Minute) }()
	select {
	case ok := <-ready:
		if ok {
			return s, nil
		}
		err = errors.New("hub: the NATS server in this process does not start; the log says why")
	case err = <-failed:
	}
	s.Shutdown()
	return nil, err
}

func clusterOptions(so *server.Options, o *Options) error {
	// nats-server 2.15 starts its routes behind the listener for clients only. Nobody else has the password.
	so.DontListen, so.Host, so.Port = false, "127.0.0.1", server.RANDOM_PORT
	host, port, err := net.SplitHostPort(o.Cluster)
	if err != nil {
		return fmt.Errorf("hub: Cluster: %w", err)
	}
	number, err := strconv.Atoi(port)
	if err != nil {
		return fmt.Errorf("hub: Cluster: the port %q is no number", port)
	}
	if number == 0 {
		number = server.RANDOM_PORT
	}
	if host == "" {
		host = "0.0.0.0"
	}
	so.Cluster = server.ClusterOpts{
		Name: "hub", Host: host, Port: number,
		PingInterval: 5 * time.Second, MaxPingsOut: 2, // or a route whose network is gone stays for minutes
	}
	if o.TLS != nil {
		so.Cluster.TLSConfig = o.TLS.Clone()
		so.Cluster.TLSConfig.ClientAuth = tls.RequireAndVerifyClientCert
		so.Cluster.TLSTimeout = 5 // seconds
	}
	var user *url.Userinfo
	if o.Secret != "" {
		so.Cluster.Username, so.Cluster.Password = "hub", o.Secret
		so.Cluster.AuthTimeout = 5 // seconds
		user = url.UserPassword("hub", o.Secret)
	}
	for _, other := range o.Join {
		if _, _, err := net.SplitHostPort(other); err != nil {
			return fmt.Errorf("hub: Join: %w", err)
		}
		so.Routes = append(so.Routes, &url.URL{Scheme: "nats", User: user, Host: other})
	}
	return nil
}

// natsLog gives the server's log to the program's.
type natsLog struct {
	log    *slog.Logger
	failed chan<- error // gets the first thing for which the server cannot go on
}

func (l natsLog) Noticef(format string, v ...any) { l.log.Debug("NATS: " + fmt.Sprintf(format, v...)) }
func (l natsLog) Warnf(format string, v ...any)   { l.log.Warn("NATS: " + fmt.Sprintf(format, v...)) }
func (l natsLog) Errorf(format string, v ...any)  { l.log.Warn("NATS: " + fmt.Sprintf(format, v...)) }
func (l natsLog) Debugf(string, ...any)           {}
func (l natsLog) Tracef(string, ...any)           {}

func (l natsLog) Fatalf(format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	l.log.Error("NATS: " + text)
	select {
	case l.failed <- errors.New("hub: the NATS server in this process does not start: " + text):
	default:
	}
}
