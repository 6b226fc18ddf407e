package hub

import "testing"

// A server elsewhere keeps messages. A hub that is cut off from it gives its members what was said meanwhile, once, and what was
// published there waits, and is heard by all, those that subscribe to a pattern as well.
func TestHistoryElsewhere(t *testing.T) {
	t.Parallel()
	near, far, between, a, b := apart(t, History{Last: 1000})
	var heard reader
	stop, err := near.Subscribe("*", heard.told)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	publish(t, near, "room", 0, 100)
	b.hears(t, "live", numbers(0, 100))
	between.sever()
	until(t, "the hub is cut off", func() bool { return !far.Connected() })
	publish(t, near, "room", 100, 200)
	a.hears(t, "live", numbers(0, 200))
	publish(t, far, "room", 200, 300)
	between.mend()
	for _, r := range []*reader{a, b, &heard} {
		r.hears(t, "all of it, once", numbers(0, 300))
	}
	since := a.events()[150].Seq
	resume(t, far, "room", since).hears(t, "what it has missed", numbers(151, 300))
}
