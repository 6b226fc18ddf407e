package chat

import (
	"context"
	"testing"
	"time"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/hub"
	"github.com/proactor-go/proactor/internal/must"
	"github.com/proactor-go/proactor/samples/echotest"
	"github.com/proactor-go/proactor/websocket"
)

// moved waits until a guest is told to move, and returns the time for that.
func (g *guest) moved(t *testing.T) (within time.Duration) {
	t.Helper()
	echotest.Until(t, "it is told to move", func() bool {
		told := g.told()
		v := told[len(told)-1]
		within = time.Duration(v.Within) * time.Millisecond
		return v.Type == "move"
	})
	return within
}

// A shutdown tells everybody to move, and lets them: until they do they talk on, nobody else comes, and when they are gone it
// is over.
func TestMove(t *testing.T) {
	s := listen(t, Options{Hub: open(t, hub.Options{}), Engine: echotest.Engine(t, "")})
	ada, eve := enter(t, s, "a", "Ada"), enter(t, s, "b", "Eve")
	const long = 8 * time.Hour
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(ctx) }()
	for _, g := range []*guest{ada, eve} {
		if within := g.moved(t); within > long/2 || within < long/4 {
			t.Errorf("within %v", within)
		}
	}
	if g, err := dial(t, &proactor.Dialer{Engine: s.Engine}, s, "a", "late", ""); err == nil {
		g.Transport().Abort()
		t.Error("somebody else has come")
	}
	ada.say(t, "bye")
	ada.hears(t, "Ada: bye")
	ada.Close(websocket.StatusNormal, "")
	eve.Transport().Abort()
	if err := must.Take(t, "the end", ended); err != nil {
		t.Error(err)
	}
}

// Those who do not move are closed when it is time.
func TestStay(t *testing.T) {
	s := listen(t, Options{Hub: open(t, hub.Options{}), Engine: echotest.Engine(t, "")})
	s.spread = time.Millisecond
	ada := enter(t, s, "a", "Ada")
	if err := s.Shutdown(must.Context(t)); err != nil {
		t.Error(err)
	}
	echotest.Until(t, "Ada is closed", func() bool { return ada.closed() != nil })
	if within := ada.moved(t); within != time.Millisecond || ada.code() != websocket.StatusGoingAway {
		t.Errorf("told %v, then %v", within, ada.closed())
	}
}

// One who comes at the last moment, when the rest was told already, is closed.
func TestComesLate(t *testing.T) {
	s := listen(t, Options{Hub: open(t, hub.Options{}), Engine: echotest.Engine(t, "")})
	s.crowd.leave()
	g, err := dial(t, &proactor.Dialer{Engine: s.Engine}, s, "a", "late", "")
	if err != nil {
		t.Fatal(err)
	}
	echotest.Until(t, "it is closed", func() bool { return g.closed() != nil })
	if g.code() != websocket.StatusGoingAway || len(g.told()) > 0 {
		t.Errorf("told %v, then %v", g.told(), g.closed())
	}
}

// A server that has not listened ends, too.
func TestShutdownBeforeListen(t *testing.T) {
	s := New(Options{Hub: open(t, hub.Options{}), Engine: echotest.Engine(t, ""), Log: echotest.Quiet()})
	if err := s.Shutdown(must.Context(t)); err != nil {
		t.Error(err)
	}
}
