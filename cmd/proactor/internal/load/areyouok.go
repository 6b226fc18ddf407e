package load

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/proactor-go/proactor"
)

// Question is what each client of AreYouOK sends.
const Question = "areyouok"

// AreYouOKOptions say how to ask.
type AreYouOKOptions struct {
	Network string // "tcp" or "unix"; empty: "tcp"
	To      string
	Backend string
	Loops   int
	Clients int           // at once
	Rounds  int           // how often each sends Question
	Timeout time.Duration // of a connect, and of silence
	Log     *slog.Logger
}

// Validate reports what makes no sense.
func (o AreYouOKOptions) Validate() error {
	switch {
	case o.Clients < 1 || o.Clients > 1<<20:
		return fmt.Errorf("--clients must be from 1 to %d", 1<<20)
	case o.Rounds < 1 || o.Rounds > 1<<16:
		return fmt.Errorf("--rounds must be from 1 to %d", 1<<16)
	case o.Loops < 0:
		return errors.New("--loops must not be negative")
	case o.Timeout < 0:
		return errors.New("--timeout must not be negative")
	}
	return nil
}

// AreYouOKReport is what came of it.
type AreYouOKReport struct {
	To      string           `json:"to"`
	Backend string           `json:"backend"`
	Clients int              `json:"clients"`
	Rounds  int              `json:"rounds"`
	Clean   int              `json:"clean"`
	Seconds float64          `json:"seconds"`
	Errors  map[string]int64 `json:"errors"`
	Example string           `json:"example,omitempty"`
}

// Err says that not all clients ended clean, in one line.
func (r *AreYouOKReport) Err() error {
	if r.Clean == r.Clients {
		return nil
	}
	return fmt.Errorf("%d of %d clients did not end clean, the first: %s", r.Clients-r.Clean, r.Clients, r.Example)
}

// Print writes the report in a line.
func (r *AreYouOKReport) Print(w io.Writer) {
	fmt.Fprintf(w, "%d of %d clients ended clean: each sent %q %d times and its FIN, got %d bytes back, then the server's\n",
		r.Clean, r.Clients, Question, r.Rounds, r.Rounds*len(Question))
	for cause, n := range r.Errors {
		fmt.Fprintf(w, "  %d %s\n", n, cause)
	}
}

// asker is one client of AreYouOK, touched on its loop only.
type asker struct {
	got   int
	wrong int    // place of the first byte that is wrong, plus one
	came  []byte // from there on, some of it
	seen  int    // how much there was at the last look
	late  bool   // it is too slow
}

// look ends a client whose answer does not come on, again and again. By itself silence
// would not do: a server may drip.
func (a *asker) look(c *proactor.Conn, every time.Duration) {
	c.After(every, func() {
		if a.got-a.seen < len(Question) {
			a.late = true
			c.Abort()
			return
		}
		a.seen = a.got
		a.look(c, every)
	})
}

// AreYouOK lets clients each send Question several times, shut down their
// sending side, and read until the end of the stream. A client ends clean when
// it got back just what it sent, and no reset.
func AreYouOK(ctx context.Context, o AreYouOKOptions) (*AreYouOKReport, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	to, err := resolve(o.Network, o.To)
	if err != nil {
		return nil, err
	}
	e, err := proactor.NewEngine(proactor.Config{Backend: o.Backend, Loops: o.Loops, Log: o.Log})
	if err != nil {
		return nil, err
	}
	defer e.Close()
	var (
		failures tally
		left     sync.WaitGroup
		want     = o.Rounds * len(Question)
	)
	d := &proactor.Dialer{Engine: e, Timeout: o.Timeout, Limits: proactor.Limits{LingerTimeout: o.Timeout, Overflow: proactor.RejectWrites}}
	d.Handler = proactor.Handler{
		Opened: func(c *proactor.Conn) {
			a := new(asker)
			c.SetValue(a)
			if o.Timeout > 0 {
				a.look(c, o.Timeout)
			}
			for range o.Rounds {
				c.Write([]byte(Question))
			}
			c.CloseWrite()
		},
		Data: func(c *proactor.Conn, p []byte) int {
			a := c.Value().(*asker)
			for i, b := range p {
				if b != Question[a.got%len(Question)] && a.wrong == 0 {
					a.wrong = a.got + 1
					a.came = bytes.Clone(p[i:min(len(p), i+100)])
				}
				a.got++
			}
			if a.wrong > 0 || a.got > want {
				c.Abort() // it may go on for ever
			}
			return len(p)
		},
		Closed: func(c *proactor.Conn, cause error) {
			defer left.Done()
			switch a := c.Value().(*asker); {
			case a.wrong == 1:
				failures.add(causeMismatch, fmt.Errorf("%v: this is no echo server: it answers %s", c.LocalAddr(), excerpt(a.came)))
			case a.wrong > 0:
				failures.add(causeMismatch, fmt.Errorf("%v: byte %d came back wrong: %s", c.LocalAddr(), a.wrong-1, excerpt(a.came)))
			case a.got > want:
				failures.add(causeExtra, fmt.Errorf("%v: %d bytes came back, not %d", c.LocalAddr(), a.got, want))
			case a.late && a.got == want:
				failures.add(causeTimeout, fmt.Errorf("%v: the server has all, and does not close", c.LocalAddr()))
			case a.late:
				failures.add(causeTimeout, fmt.Errorf("%v: %d bytes of %d came back in time", c.LocalAddr(), a.got, want))
			case !errors.Is(cause, proactor.ErrPeerClosed):
				failures.add(causeOf(cause), fmt.Errorf("%v: %w", c.LocalAddr(), cause))
			case a.got < want:
				failures.add(causeMissing, fmt.Errorf("%v: %d bytes came back, not %d", c.LocalAddr(), a.got, want))
			}
		},
	}
	began := nanotime()
	left.Add(o.Clients)
	for range o.Clients {
		d.DialAsync(ctx, cmp.Or(o.Network, "tcp"), to, func(_ *proactor.Conn, err error) {
			if err != nil {
				failures.add(causeOf(err), err)
				left.Done()
			}
		})
	}
	over := make(chan struct{})
	go func() {
		left.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-ctx.Done():
		e.Close() // ends all of them
		<-over
	}
	r := &AreYouOKReport{To: to, Backend: e.Backend(), Clients: o.Clients, Rounds: o.Rounds, Seconds: time.Duration(nanotime() - began).Seconds()}
	var failed int64
	if r.Errors, failed = failures.snapshot(); failures.first != nil {
		r.Example = oneLine(failures.first.Error())
	}
	r.Clean = o.Clients - int(failed)
	return r, nil
}
