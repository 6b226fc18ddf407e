package ops

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/proactor-go/proactor"
)

// Options say how a process runs. The zero value has defaults.
type Options struct {
	// Drain bounds how long connections may take to end, before they are reset. 0: 10 s.
	// Negative: they are reset at once. On Windows it is cut to the 4 s that the system gives a
	// console that is closed.
	Drain time.Duration
	// Delay is how long the servers go on as before once the process is to end, and Ready
	// says so: as long as load balancers need to see it. An upgrade has none. 0: none.
	Delay time.Duration
	// Upgrade bounds how long the next process may take until it is ready. 0: one minute.
	Upgrade time.Duration
	// Reload is called on SIGHUP, on a goroutine of its own, and once at a time; systemd is told
	// when it begins and ends. Its error is logged. nil: SIGHUP is what it was.
	Reload func() error
	// Tickets are the configs whose session tickets the next process accepts. Each config there
	// accepts those of the config at the same index here. Start gives them their keys and Run changes
	// the keys each day, as package tls does by itself. They must not be used before Start.
	Tickets []*tls.Config
	// Context ends Run when it is done. nil: one of [Interrupted].
	Context context.Context
	// Log gets what an operator should know. nil: slog.Default().
	Log *slog.Logger
}

// Server is a *proactor.Server, or what embeds one.
type Server interface {
	Inherit(...net.Listener)
	Pause() error
	Resume() error
	Listen() error
	ListenAddr() net.Addr
	Files() ([]*os.File, error)
	StopListening() error
	Wait() error
	Conns() int
	Shutdown(context.Context) error
}

var _ Server = (*proactor.Server)(nil)

// Process is this process, as one that serves. A program makes one.
type Process struct {
	o       Options
	ctx     context.Context
	stop    func()
	log     *slog.Logger
	signals *signals
	before  *predecessor // whose listeners these are; nil: nobody's
	state   atomic.Int32
	serves  chan struct{} // closed when connections may be accepted
	tickets tickets
	manager manager

	mu        sync.Mutex
	handed    []handed // listeners that nobody has taken yet
	services  []*service
	listeners []*listener
	paths     map[string]os.FileInfo // of Unix sockets that go with the process
}

// States of a Process.
const (
	starting = iota
	serving
	leaving
)

// service is a server under its name.
type service struct {
	name   string
	server Server
	owned  string // the path of its Unix socket, if it goes with this process or the next
}

// Run serves until the process is to end: it is Start, Add and Run of the Process for one server, which
// gets all listeners that the process was given. The error of a Windows service is logged, too: nobody
// reads what it says otherwise.
func Run(srv Server, o Options) error {
	p, err := Start(o)
	if err != nil {
		return err
	}
	defer p.stop()
	if err = p.Add("", srv); err == nil {
		err = p.Run()
	}
	if _, is := Service(); is && err != nil {
		p.log.Error("the service has failed", "err", err)
	}
	return err
}

// Start takes over what systemd, or the process before this one, has handed to it. It must be called
// before the program starts other processes, which would inherit the same. The error says that what
// was handed over is broken.
func Start(o Options) (*Process, error) {
	p := &Process{o: o, ctx: o.Context, stop: func() {}, log: o.Log, serves: make(chan struct{}), paths: map[string]os.FileInfo{}}
	if p.o.Drain == 0 {
		p.o.Drain = 10 * time.Second
	}
	if p.o.Upgrade <= 0 {
		p.o.Upgrade = time.Minute
	}
	if p.log == nil {
		p.log = slog.Default()
	}
	p.manager.log = p.log
	if p.ctx == nil {
		p.ctx, p.stop = Interrupted(p.log)
	}
	p.signals = listen(o.Reload != nil)
	var keys [][]key
	var err error
	if p.before, p.handed, keys, err = fromBefore(); err == nil && p.before == nil {
		p.handed = fromManager()
	}
	if err != nil {
		p.end()
		return nil, fmt.Errorf("upgrade: %w", err)
	}
	if err := p.tickets.begin(o.Tickets, keys); err != nil {
		p.end()
		return nil, err
	}
	return p, nil
}

// end undoes what Start has made, but for the listeners.
func (p *Process) end() {
	p.signals.stop()
	p.stop()
}

// Add has a server listen, at what the process was given under the name or, where that is
// nothing, at the server's address. The name must be the same in the next process, and is
// FileDescriptorName= of systemd's socket unit, or the name of that without ".socket". A server with an
// empty name gets all listeners that are left; any other that finds nothing under its name
// gets those without a name. The server accepts when Run is called, or Run of a process that is
// an upgrade has been told to go on. The error is that of Listen.
func (p *Process) Add(name string, srv Server) error {
	given, owned, err := p.take(name)
	if err != nil {
		return err
	}
	srv.Inherit(given...)
	if err = srv.Pause(); err == nil {
		err = srv.Listen()
	}
	if err != nil {
		for _, l := range given {
			l.Close()
		}
		return err
	}
	if at := srv.ListenAddr(); len(given) == 0 && at.Network() == "unix" {
		owned = at.String()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.services = append(p.services, &service{name, srv, owned})
	if len(given) > 0 {
		p.own(owned)
	}
	return nil
}

// Run serves. It returns nil when the process is to end and all has ended, or another process
// serves in its place; else the first error of a server.
func (p *Process) Run() error {
	defer p.end()
	for _, h := range p.handed {
		p.log.Warn("a listener was given that no server has the name of; it is closed", "name", h.name)
		h.file.Close()
	}
	p.handed = nil
	if p.before.ready(p.ctx); p.before != nil && p.ctx.Err() != nil {
		p.mu.Lock()
		clear(p.paths) // they are those of the process before, which goes on
		p.mu.Unlock()
		return p.drain(0)
	}
	close(p.serves)
	for _, s := range p.services {
		if err := s.server.Resume(); err != nil {
			return err
		}
	}
	p.state.Store(serving)
	p.before.serves(p.ctx)
	p.manager.tell("READY=1", "STATUS=serving")
	Serving()
	stop := p.watchdog()
	defer stop()
	var ended = make(chan error, len(p.services))
	for _, s := range p.services {
		go func() { ended <- s.server.Wait() }()
	}
	return p.loop(ended)
}

// loop waits for what is to be done.
func (p *Process) loop(ended <-chan error) error {
	upgraded, reloaded := make(chan error), make(chan error)
	reload, upgrading := p.signals.reload, false
	rotate := time.NewTicker(rotation)
	defer rotate.Stop()
	within, cancel := context.WithCancel(p.ctx)
	defer cancel()
	for {
		select {
		case err := <-ended:
			p.state.Store(leaving)
			cancel()
			if upgrading { // it is killed, where it does not serve yet
				if <-upgraded == nil {
					return p.handOver()
				}
			}
			within := time.Duration(0)
			if errors.Is(err, proactor.ErrServerClosed) { // by a Shutdown of the program's own, which goes on
				err, within = nil, p.drainTime()
			}
			return errors.Join(err, p.drain(within))
		case <-p.ctx.Done():
			p.state.Store(leaving)
			if upgrading && <-upgraded == nil {
				return p.handOver()
			}
			p.manager.tell("STOPPING=1", "STATUS=draining")
			if delay := delayTime(runtime.GOOS, context.Cause(p.ctx), p.o.Delay); delay > 0 {
				p.log.Info("not ready any more; draining begins after a delay", "delay", delay)
				time.Sleep(delay)
			}
			return p.drain(p.drainTime())
		case <-rotate.C:
			if err := p.tickets.rotate(); err != nil {
				p.log.Error("the keys of session tickets stay as they are", "err", err)
			}
		case <-reload:
			reload = nil
			p.manager.tell("RELOADING=1", monotonic(), "STATUS=reloading")
			go func() { reloaded <- p.o.Reload() }()
		case err := <-reloaded:
			reload = p.signals.reload
			if err != nil {
				p.log.Error("reload failed; all stays as it was", "err", err)
			}
			p.manager.tell("READY=1", "STATUS=serving")
		case <-p.signals.upgrade:
			if upgrading {
				p.log.Warn("an upgrade is under way already")
				continue
			}
			upgrading = true
			p.log.Info("upgrade begins")
			p.manager.tell("RELOADING=1", monotonic(), "STATUS=upgrading")
			go func() { upgraded <- p.succeed(within) }()
		case err := <-upgraded:
			if err == nil {
				return p.handOver()
			}
			upgrading = false
			p.log.Error("the upgrade failed; this process goes on", "err", err)
			p.manager.tell("READY=1", "STATUS=serving; the upgrade failed")
		}
	}
}

// settling is how long connections that were accepted just before the next process took over
// may take to say something: at a shutdown one that has said nothing ends at once.
const settling = 200 * time.Millisecond

// handOver ends a process in whose place another serves.
func (p *Process) handOver() error {
	p.state.Store(leaving)
	p.log.Info("another process serves; draining", "for", p.o.Drain)
	p.mu.Lock()
	clear(p.paths) // they are the next one's
	for _, l := range p.listeners {
		l.Close()
	}
	p.mu.Unlock()
	for _, s := range p.services {
		s.server.StopListening()
	}
	settled := time.NewTimer(min(settling, max(p.o.Drain, 0)))
	defer settled.Stop()
	select {
	case <-settled.C:
	case <-p.ctx.Done():
	}
	return p.drain(p.o.Drain)
}

// drain shuts the servers down, and closes what else listens.
func (p *Process) drain(most time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	errs := make(chan error, len(p.services))
	for _, s := range p.services {
		name := s.name
		p.log.Info("draining", "server", name, "conns", s.server.Conns(), "for", max(most, 0))
		go func() {
			err := s.server.Shutdown(ctx)
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				p.log.Warn("connections were reset: they did not end in time", "server", name)
				err = nil
			case err == nil:
				p.log.Info("ended", "server", name)
			}
			errs <- err
		}()
	}
	var all []error
	for range p.services {
		all = append(all, <-errs)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, l := range p.listeners {
		l.Close()
	}
	p.unlink()
	return errors.Join(all...)
}

func (p *Process) drainTime() time.Duration {
	return drainTime(runtime.GOOS, context.Cause(p.ctx), p.o.Drain)
}

// Ready answers load balancers: with 200 while the process serves, with 503 before Run and from the moment at
// which the process is to end.
func (p *Process) Ready() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Connection", "close") // the next question is for who listens then, after an upgrade another process
		switch p.state.Load() {
		case serving:
			fmt.Fprintln(w, "ready")
		case starting:
			http.Error(w, "starting", http.StatusServiceUnavailable)
		default:
			http.Error(w, "draining", http.StatusServiceUnavailable)
		}
	})
}
