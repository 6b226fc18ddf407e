package load

import (
	"fmt"
	"time"
)

// Report is what a run has found.
type Report struct {
	Members    int
	Messages   int // that were said
	Deliveries int // of messages to members
	Reconnects int // connections that were not a member's first
	Resumed    int // of those, with the number of the last message, at a node that keeps what is said
	Failed     int // connections that did not get into the room
	Gaps       int // that members were told of
	Missed     int // deliveries that did not come, to members that were away or told of a gap

	// What was promised, and not kept.
	Missing    int // deliveries that did not come, and should have
	Twice      int // messages that came to a member that had them
	Disordered int // that came behind what should have come later
	Wrong      int // that nobody has said
	Away       int // members that were not in the room at the end

	P50, P99, P999 time.Duration // of a delivery, from when the message was due
	History        bool          // the nodes keep what is said
	Unkept         int           // messages that came without a number although they do

	broken error
}

func (r *run) report() *Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := func(q float64) time.Duration { return time.Duration(r.latency.ValueAtQuantile(q)) }
	f := &Report{
		Members: len(r.members), Deliveries: r.deliveries, Reconnects: r.reconnects, Resumed: r.resumed, Failed: r.failed,
		Twice: r.twice, Disordered: r.disordered, Wrong: r.wrong, Away: len(r.members) - r.in(),
		P50: at(50), P99: at(99), P999: at(99.9), History: r.history,
	}
	for i := range r.said {
		if m := &r.said[i]; m.said {
			f.Messages++
			if r.history && m.flowed {
				f.Unkept++
			}
		}
	}
	for _, m := range r.members {
		missed, owed, example := r.missing(&m.ear)
		if owed > 0 && r.broken == nil {
			v := &r.said[example]
			r.broken = fmt.Errorf("%s has not heard message %d of publisher %d, number %d", m.ear.name, example, v.by, v.seq)
		}
		f.Gaps += len(m.ear.gaps)
		f.Missed += missed - owed
		f.Missing += owed
	}
	if r.broken == nil && f.Away > 0 {
		r.broken = fmt.Errorf("%d members are not in the room at the end", f.Away)
	}
	f.broken = r.broken
	return f
}

// String is the report in one line.
func (f *Report) String() string {
	kept := "nothing is kept"
	if f.History {
		kept = fmt.Sprintf("%d messages not kept", f.Unkept)
	}
	short := func(d time.Duration) time.Duration { return d.Round(max(time.Microsecond, d/1000)) }
	return fmt.Sprintf("%d members, %d messages, %d deliveries; %d reconnects, %d resumed, %d failed, %d gaps told, %d missed, %s; "+
		"%d missing, %d twice, %d out of order, %d wrong, %d away; p50 %v, p99 %v, p99.9 %v",
		f.Members, f.Messages, f.Deliveries, f.Reconnects, f.Resumed, f.Failed, f.Gaps, f.Missed, kept,
		f.Missing, f.Twice, f.Disordered, f.Wrong, f.Away, short(f.P50), short(f.P99), short(f.P999))
}

// Err says what was promised and not kept, by one example; nil: nothing.
func (f *Report) Err() error {
	if f.broken == nil {
		return nil
	}
	return fmt.Errorf("not all that is promised was kept: %w", f.broken)
}
