package porttest

import (
	"fmt"
	"runtime"

	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/port"
)

var acceptTests = []test{
	{name: "AcceptMany", run: acceptMany},
	{name: "AcceptBacklog", run: acceptBacklog},
	{name: "AcceptInTurn", run: acceptInTurn},
	{name: "AcceptDiscard", run: acceptDiscard},
	{name: "AcceptForOtherPort", run: acceptForOtherPort},
	{name: "AcceptCanceledLosesNone", run: acceptCanceledLosesNone},
	{name: "AcceptListenerClosed", run: acceptListenerClosed},
	{name: "AcceptWrongSocket", run: acceptWrongSocket},
	{name: "AcceptOutOfDescriptors", run: acceptOutOfDescriptors},
	{name: "AcceptReset", run: acceptReset},
}

// One accept, armed once, brings every connection, each once.
func acceptMany(e *env) {
	r := e.open(port.Config{})
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	a := r.arm(l)
	n := r.many(100, 30)
	peers := make([]Peer, n)
	var dials []*task
	for i := range n {
		dials = append(dials, r.do(func() (err error) {
			if peers[i], err = r.b.Dial("tcp", l.addr.String()); err == nil {
				r := byte(i)
				_, err = peers[i].Write([]byte{r})
			}
			return err
		}))
	}
	var first []*op
	remote := map[string]*op{}
	for range n {
		c := &conn{}
		c.h, c.key = r.associate(r.next(a))
		local, err := r.p.LocalAddr(c.h)
		if err != nil || local != l.addr {
			r.Errorf("LocalAddr = %v, %v; want that of the listener, %v", local, err, l.addr)
		}
		from, err := r.p.RemoteAddr(c.h)
		if err != nil || remote[from.String()] != nil {
			r.Errorf("RemoteAddr = %v, %v; want one of its own", from, err)
		}
		first = append(first, r.recv(c, 10))
		remote[from.String()] = first[len(first)-1]
	}
	r.await(dials...)
	for i, p := range peers {
		r.own(p)
		o := remote[p.LocalAddr().String()]
		if o == nil {
			r.Fatalf("no connection from %v was accepted", p.LocalAddr())
		}
		r.ok(o)
		if len(o.data) != 1 || o.data[0] != byte(i) {
			r.Errorf("connection %d brought %v", i, o.data)
		}
	}
	r.p.Cancel(&a.Op)
	r.fails(a, port.ErrCanceled)
	if a.count != n {
		r.Errorf("%d sockets of %d connections", a.count, n)
	}
}

// Connections and bytes that came before Accept are not lost.
func acceptBacklog(e *env) {
	r := e.open(port.Config{})
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	const n = 10
	for i := range n {
		p := r.dial("tcp", l.addr)
		s := stream(i)
		r.await(r.do(func() error {
			if err := writePattern(p, s, 0, 1000, 1000); err != nil {
				return err
			}
			return p.CloseWrite()
		}))
	}
	a := r.arm(l)
	seen := map[byte]bool{}
	for range n {
		c := &conn{}
		c.h, c.key = r.associate(r.next(a))
		o := r.stream(c)
		r.gather(o, 1000)
		i := 0
		for i < n && stream(i).check(o.data, 0) != nil {
			i++
		}
		if i == n || seen[byte(i)] {
			r.Fatalf("%d bytes of no connection, or of one that came before", len(o.data))
		}
		seen[byte(i)] = true
	}
}

// Connections that come close together may change places, but none waits for as long
// as others come after it.
func acceptInTurn(e *env) {
	const (
		waiting = 40 // connections in the backlog, at any time
		rounds  = 150
		most    = 64 // that may overtake one
	)
	r := e.open(port.Config{})
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	number := map[string]int{}
	dial := func() { // nothing is dequeued meanwhile, so that some always wait
		p, err := r.b.Dial("tcp", l.addr.String())
		if err != nil {
			r.Fatal(err)
		}
		number[r.own(p).LocalAddr().String()] = len(number)
	}
	for range waiting {
		dial()
	}
	a := r.arm(l)
	given := make([]bool, waiting+rounds)
	first := 0 // the first that was not given
	for i := range waiting + rounds {
		h, _ := r.associate(r.next(a))
		from, err := r.p.RemoteAddr(h)
		n, ok := number[from.String()]
		if err != nil || !ok || given[n] {
			r.Fatalf("accepted %v, %v: a connection of its own is wanted", from, err)
		}
		given[n] = true
		for first < len(given) && given[first] {
			first++
		}
		if i+1-first > most {
			r.Fatalf("connection %d was overtaken by %d that came after it", first, i+1-first)
		}
		if i < rounds {
			dial()
		}
	}
}

// An accepted socket that is not wanted is closed by Discard.
func acceptDiscard(e *env) {
	r := e.open(port.Config{})
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	a := r.arm(l)
	p := r.dial("tcp", l.addr)
	r.p.Discard(r.next(a))
	r.await(r.do(func() error { return readEnd(p, 0, 0) }))
	r.p.Discard(port.NoSocket)
	unused, err := r.p.Listen("tcp", r.address("tcp4"), port.SocketOptions{})
	if err != nil {
		r.Fatal(err)
	}
	r.p.Discard(unused)
}

// An accepted socket may be associated with another port.
func acceptForOtherPort(e *env) {
	r, other := e.open(port.Config{}), e.open(port.Config{})
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	a := r.arm(l)
	for i := range 10 {
		peer := r.dial("tcp", l.addr)
		c := &conn{}
		c.h, c.key = other.associate(r.next(a))
		s := stream(i)
		echo := other.do(func() error {
			if err := writePattern(peer, s, 0, 5000, 1000); err != nil {
				return err
			}
			return readPattern(peer, s, 0, 5000)
		})
		o := other.stream(c)
		other.gather(o, 5000)
		other.matches(o, s, 0)
		other.ok(other.send(c, o.data))
		other.await(echo)
	}
}

// Between the cancel of an accept and the next Accept connections wait.
func acceptCanceledLosesNone(e *env) {
	r := e.open(port.Config{})
	l := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	n := r.many(200, 40)
	dialer := r.do(func() error {
		for i := range n {
			p, err := r.b.Dial("tcp", l.addr.String())
			if err != nil {
				return fmt.Errorf("connection %d: %w", i, err)
			}
			defer p.Close()
		}
		return nil
	})
	got := 0
	for got < n {
		a := r.arm(l)
		r.until("accept", func() bool { return a.count > 0 })
		r.p.Cancel(&a.Op)
		r.fails(a, port.ErrCanceled)
		for _, s := range a.sockets {
			r.associate(s)
			got++
		}
		a.sockets = nil
	}
	r.await(dialer)
	if got != n {
		r.Errorf("%d sockets of %d connections", got, n)
	}
}

// The close of a listener ends its accept, and frees the address at once.
func acceptListenerClosed(e *env) {
	r := e.open(port.Config{})
	address := must.Alone() // the port must not be another's meanwhile
	if e.b.Memory {
		address = r.address("tcp4")
	}
	l := r.listen("tcp", address, port.SocketOptions{})
	for range r.many(50, 10) {
		a := r.arm(l)
		r.associate(func() port.Socket { r.dial("tcp", l.addr); return r.next(a) }())
		c := r.close(&conn{h: l.h, key: l.key}, false)
		r.ok(c)
		if a.flying {
			r.Fatal("the close completed before the accept")
		}
		r.fails(a, port.ErrCanceled)
		l = r.listen("tcp", l.addr.String(), port.SocketOptions{})
	}
	r.ok(r.close(&conn{h: l.h, key: l.key}, false))
	r.await(r.do(func() error {
		if c, err := r.b.Dial("tcp", l.addr.String()); err == nil {
			c.Close()
			return fmt.Errorf("a closed listener still takes connections")
		}
		return nil
	}))
}

// Accept is for listeners, everything else is not.
func acceptWrongSocket(e *env) {
	r := e.open(port.Config{})
	c := r.pair("tcp")
	l := r.listeners["tcp"]
	r.refused(port.ErrInvalid, port.KindAccept, c.h)
	for _, k := range []port.Kind{port.KindConnect, port.KindSend, port.KindShutdown} {
		r.refused(port.ErrInvalid, k, l.h)
	}
	quiet := r.listen("tcp", r.address("tcp4"), port.SocketOptions{})
	r.refused(port.ErrInvalid, port.KindRecv, quiet.h)
}

// A client that has reset has its address all the same, where the system hands it over
// at all: one that did before the accept, one that did while it was under way, and one that was
// accepted and has not been looked at. The last one the system has handed over.
func acceptReset(e *env) {
	for _, network := range []string{"tcp4", "tcp6"} {
		acceptResetOn(e, network, false)
		acceptResetOn(e, network, true)
		acceptedReset(e, network)
	}
}

// acceptedReset has clients reset whose accept has completed.
func acceptedReset(e *env, network string) {
	r := e.open(port.Config{})
	ln := r.listenOn(network)
	if ln == nil {
		return
	}
	a := r.arm(ln)
	for range 10 {
		c := r.dial(network, ln.addr)
		s := r.next(a)
		r.await(r.do(func() error { return reset(c) }))
		r.comesFrom(s, func(peer string) bool { return peer == c.LocalAddr().String() })
	}
}

// listenOn listens at any port; nil: the system has no such network.
func (r *rig) listenOn(network string) *listener {
	r.Helper()
	l, err := r.p.Listen(network, r.address(network), port.SocketOptions{})
	if err != nil {
		r.Logf("no %s here: %v", network, err)
		return nil
	}
	ln := &listener{network: network}
	ln.h, ln.key = r.associate(l)
	if ln.addr, err = r.p.LocalAddr(ln.h); err != nil {
		r.Fatal(err)
	}
	return ln
}

// comesFrom returns the peer of a socket, which is the same before the port has it and after.
func (r *rig) comesFrom(s port.Socket, right func(peer string) bool) string {
	r.Helper()
	before, err := r.p.PeerAddr(s)
	h, _ := r.associate(s)
	after, err2 := r.p.RemoteAddr(h)
	if err != nil || err2 != nil || before != after {
		r.Fatalf("the peer is %v, %v before it is associated, %v, %v after", before, err, after, err2)
	}
	if peer := after.String(); right(peer) {
		return peer
	}
	r.Fatalf("nobody dialed from %v", after)
	return ""
}

func acceptResetOn(e *env, network string, armed bool) {
	r := e.open(port.Config{})
	ln := r.listenOn(network)
	if ln == nil {
		return
	}
	var a *op
	if armed {
		a = r.arm(ln)
	}
	const n = 10
	dialed := map[string]bool{}
	for range n {
		c := r.dial(network, ln.addr)
		dialed[c.LocalAddr().String()] = true
		r.await(r.do(func() error { return reset(c) }))
	}
	last := r.dial(network, ln.addr).LocalAddr().String()
	dialed[last] = true
	if !armed {
		a = r.arm(ln)
	}
	came := 0
	for r.comesFrom(r.next(a), func(peer string) bool { return dialed[peer] }) != last {
		came++
	}
	least := 0 // what reset before it was accepted, Windows need not hand over, nor Wine
	if runtime.GOOS == "linux" {
		least = n / 2 // those whose reset was not there before the handshake's end: most
	}
	if came < least || came > n {
		r.Errorf("%d connections of %d were handed over, at least %d had to be", came, n, least)
	}
}
