package load

import (
	"fmt"
	"strings"
	"testing"
)

// TestLedger: three members, of whom 0 and 1 say messages 0 to 5 in turn, each on its first connection, and what becomes of it. A step is
// "member:message#number", "gone member", "back member" or "gap member:from-to".
func TestLedger(t *testing.T) {
	all := func(messages ...string) (steps []string) {
		for _, m := range messages {
			for member := range 3 {
				steps = append(steps, fmt.Sprint(member, ":", m))
			}
		}
		return steps
	}
	kept := all("0#10", "1#11", "2#12", "3#13", "4#14", "5#15")
	flow := all("0", "1", "2", "3", "4", "5")
	without := func(steps []string, some ...string) (rest []string) {
		for _, s := range steps {
			if !strings.Contains(" "+strings.Join(some, " ")+" ", " "+s+" ") {
				rest = append(rest, s)
			}
		}
		return rest
	}
	for _, v := range []struct {
		name    string
		history bool
		steps   []string
		want    string // missed, owed, twice, out of order
	}{
		{"all, kept", true, kept, "0 0 0 0"},
		{"all", false, flow, "0 0 0 0"},
		{"one is missing, kept", true, without(kept, "2:3#13"), "1 1 0 0"},
		{"one is missing", false, without(flow, "2:3"), "1 1 0 0"},
		{"the last is missing", false, without(flow, "2:5"), "1 1 0 0"},
		{"nobody has one", false, without(flow, "0:3", "1:3", "2:3"), "3 3 0 0"},
		{"twice, kept", true, append(kept[:18:18], "2:3#13"), "0 0 1 0"},
		{"twice", false, append(flow[:18:18], "2:3"), "0 0 1 0"},
		{"out of order, kept", true, append(without(kept, "2:2#12", "2:3#13"), "2:2#12", "2:3#13"), "0 0 0 2"},
		{"out of order", false, append(without(flow, "2:1"), "2:1"), "0 0 0 1"},
		{"publishers in another order", false, append(without(flow, "2:0", "2:2", "2:4"), "2:0", "2:2", "2:4"), "0 0 0 0"},

		{"away, and missing, kept", true, append([]string{"gone 2", "back 2"}, without(kept, "2:3#13")...), "1 1 0 0"},
		{"away, and told of a gap", true, append([]string{"gone 2", "back 2", "gap 2:13-13"}, without(kept, "2:3#13")...), "1 0 0 0"},
		{"away, and told of another gap", true, append([]string{"gone 2", "back 2", "gap 2:14-20"}, without(kept, "2:3#13")...), "1 1 0 0"},
		{"away", false, append([]string{"gone 2", "back 2"}, without(flow, "2:3")...), "1 0 0 0"},
		{"away, and twice", false, append(append([]string{"gone 2", "back 2"}, kept...), "2:3#13"), "0 0 1 0"},
		{"away, and out of order", true, append(append([]string{"gone 2", "back 2"}, without(kept, "2:3#13")...), "2:3#13"), "0 0 0 1"},

		{"flows, missing", true, without(flow, "2:3"), "1 1 0 0"},
		{"flows, away", true, append([]string{"gone 2", "back 2"}, without(flow, "2:3")...), "1 0 0 0"},
		{"flowed, and is kept after all", true, append(append([]string{"gone 2", "back 2"}, flow...), "2:3#13"), "0 0 0 0"},
		{"flowed, and comes again to one that was there", true, append(flow[:18:18], "2:3#13"), "0 0 1 0"},

		{"a publisher goes before it has heard itself", true, append(without(kept, "0:4#14", "1:4#14", "2:4#14"), "gone 0", "back 0"), "0 0 0 0"},
		{"it goes, and one has heard that", true, append(without(kept, "0:4#14", "1:4#14"), "gone 0", "back 0"), "2 2 0 0"},
		{"it goes, and one has heard less", false, append(without(flow, "2:4"), "gone 0", "back 0"), "1 0 0 0"},
		{"it goes, and one has a hole", false, append(without(flow, "2:2"), "gone 0", "back 0"), "1 1 0 0"},
		{"it goes, and one lacks what another says", false, append(without(flow, "2:5"), "gone 0", "back 0"), "1 1 0 0"},
	} {
		t.Run(v.name, func(t *testing.T) {
			g := ledger{said: make([]message, 6), history: v.history}
			var ears []ear
			for i := range 3 {
				ears = append(ears, newEar(fmt.Sprint("member ", i), len(g.said), 2))
			}
			for i := range g.said {
				g.said[i] = message{said: true, by: i % 2}
			}
			for _, step := range v.steps {
				var member, number int
				var from, to uint64
				if n, _ := fmt.Sscanf(step, "gap %d:%d-%d", &member, &from, &to); n == 3 {
					ears[member].gaps = append(ears[member].gaps, span{from, to})
				} else if n, _ := fmt.Sscanf(step, "gone %d", &member); n == 1 {
					ears[member].away = true
					g.left(member, 0, &ears[member])
				} else if n, _ := fmt.Sscanf(step, "%d:%d#%d", &member, &number, &from); n >= 2 {
					g.hears(&ears[member], number, from)
				}
			}
			missed, owed := 0, 0
			for i := range ears {
				m, o, _ := g.missing(&ears[i])
				missed, owed = missed+m, owed+o
			}
			if got := fmt.Sprint(missed, owed, g.twice, g.disordered); got != v.want || g.wrong > 0 {
				t.Errorf("%s, want %s; %v", got, v.want, g.broken)
			}
			if (g.broken != nil) != (g.twice+g.disordered > 0) {
				t.Error(g.broken)
			}
		})
	}
}

// What nobody has said is wrong. What may not have been said, and comes when all was settled, is owed to nobody.
func TestNotSaid(t *testing.T) {
	g := ledger{said: make([]message, 2)}
	e := newEar("member 0", 2, 1)
	if g.hears(&e, 0, 0); g.wrong != 1 || g.broken == nil {
		t.Errorf("%+v", g)
	}
	g.said[1] = message{said: true, left: true, doubt: true}
	g.over = true
	if g.hears(&e, 1, 0) {
		t.Error("it counts")
	}
	if missed, owed, _ := g.missing(&e); missed+owed > 0 {
		t.Error("it is owed")
	}
}
