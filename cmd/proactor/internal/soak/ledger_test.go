package soak

import (
	"io"
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/port"
)

// TestReconcile: what the two sides of a connection say must fit.
func TestReconcile(t *testing.T) {
	fin, local, server := proactor.ErrPeerClosed, proactor.ErrLocalClosed, proactor.ErrServerClosed
	panicked := &proactor.PanicError{}
	plain := &way{name: "plain"}
	closing := &way{name: "closing", last: askClose}
	panicking := &way{name: "panicking", last: askPanic}
	for _, tt := range []struct {
		name string
		way  *way
		late bool // the server is being shut down
		near near
		far  far
		want string // the invariant that is violated
	}{
		{"Orderly", plain, false, near{sent: 10, received: 10, end: endOrderly}, far{10, 10, fin, true}, ""},
		{"OrderlyBytesLost", plain, false, near{sent: 10, received: 10, end: endOrderly}, far{9, 10, fin, true}, invOrder},
		{"OrderlyAnswerLost", plain, false, near{sent: 10, received: 9, end: endOrderly}, far{10, 10, fin, true}, invOrder},
		{"OrderlyWrongCause", plain, false, near{sent: 10, received: 10, end: endOrderly}, far{10, 10, port.ErrReset, true}, invCause},
		{"OrderlyServerClosed", plain, false, near{sent: 10, received: 10, end: endOrderly}, far{10, 10, server, true}, invCause},
		{"OrderlyInShutdown", plain, true, near{sent: 10, received: 10, end: endOrderly}, far{10, 10, server, true}, ""},
		{"ClosedByServer", closing, false, near{sent: 10, received: 10, end: endOrderly}, far{10, 10, local, true}, ""},
		{"ClosedByServerWrongCause", closing, false, near{sent: 10, received: 10, end: endOrderly}, far{10, 10, fin, true}, invCause},
		{"CutByShutdown", plain, true, near{sent: 10, received: 5, end: endCut, err: io.EOF}, far{5, 5, server, true}, ""},
		{"CutByShutdownOwed", plain, true, near{sent: 10, received: 4, end: endCut, err: io.EOF}, far{5, 5, server, true}, invShutdown},
		{"CutWithoutShutdown", plain, false, near{sent: 10, received: 5, end: endCut, err: io.EOF}, far{5, 5, server, true}, invOrder},
		{"CutByPeer", plain, true, near{sent: 10, received: 5, end: endCut, err: io.EOF}, far{5, 5, fin, true}, invOrder},
		{"Stopped", plain, false, near{sent: 10, received: 5, end: endStopped}, far{10, 10, nil, false}, ""},
		{"StoppedBytesLost", plain, false, near{sent: 10, received: 5, end: endStopped}, far{9, 9, nil, false}, invOrder},
		{"Left", plain, false, near{sent: 10, received: 1, end: endLeft}, far{5, 3, port.ErrReset, true}, ""},
		{"LeftByFIN", plain, false, near{sent: 10, received: 1, end: endLeft}, far{5, 3, fin, true}, ""},
		{"LeftWrongCause", plain, false, near{sent: 10, received: 1, end: endLeft}, far{5, 3, local, true}, invCause},
		{"LeftTooMuchReceived", plain, false, near{sent: 10, received: 1, end: endLeft}, far{11, 3, port.ErrReset, true}, invBound},
		{"LeftTooMuchCameBack", plain, false, near{sent: 10, received: 4, end: endLeft}, far{5, 3, port.ErrReset, true}, invBound},
		{"Broken", plain, false, near{sent: 10, end: endBroken, err: io.ErrUnexpectedEOF}, far{5, 3, port.ErrReset, true}, invReset},
		{"BrokenInShutdown", plain, true, near{sent: 10, end: endBroken, err: io.ErrUnexpectedEOF}, far{5, 3, server, true}, invReset},
		{"Panicked", panicking, false, near{sent: 10, end: endBroken, err: io.ErrUnexpectedEOF}, far{5, 3, panicked, true}, ""},
		{"PanickedUnprovoked", plain, false, near{sent: 10, end: endBroken, err: io.ErrUnexpectedEOF}, far{5, 3, panicked, true}, invReset},
		{"PanickedWrongCause", panicking, false, near{sent: 10, end: endBroken, err: io.ErrUnexpectedEOF}, far{5, 3, local, true}, invReset},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &generation{stopping: make(chan struct{})}
			if tt.late {
				close(g.stopping)
				tt.near.late = true
			}
			for _, nearFirst := range []bool{true, false} {
				l := ledgerOf(tt.way)
				l.begin(7, tt.way, g)
				if l.meet(7) != tt.way {
					t.Fatal("not met")
				}
				if nearFirst {
					l.closeNear(7, tt.near)
					l.closeFar(7, tt.far)
				} else {
					l.closeFar(7, tt.far)
					l.closeNear(7, tt.near)
				}
				l.settle(g)
				only(t, l, tt.want)
			}
		})
	}
}

// TestSettle: what is left when a server has ended.
func TestSettle(t *testing.T) {
	w := &way{name: "plain"}
	for _, tt := range []struct {
		name string
		met  bool
		near *near
		want string
	}{
		{"NotEnded", false, nil, invStuck},
		{"NotClosed", true, &near{sent: 10, received: 10, end: endOrderly}, invClosed},
		{"LeftUnseen", false, &near{sent: 10, end: endLeft}, ""},
		{"ResetInBacklog", false, &near{sent: 10, end: endBroken, err: io.ErrUnexpectedEOF, late: true}, ""},
		{"ResetUnseen", false, &near{sent: 10, end: endBroken, err: io.ErrUnexpectedEOF}, invReset},
		{"CutUnseen", false, &near{sent: 10, end: endCut, err: io.EOF}, invReset},
		{"OrderlyUnseen", false, &near{sent: 10, end: endOrderly, late: true}, invOrder},
		{"ReceivedOthers", false, &near{sent: 10, received: 3, end: endCut, late: true}, invBytes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := &generation{stopping: make(chan struct{})}
			l := ledgerOf(w)
			l.begin(7, w, g)
			l.begin(8, w, nil) // not of this server
			if tt.met {
				l.meet(7)
			}
			if tt.near != nil {
				l.closeNear(7, *tt.near)
			}
			l.settle(g)
			only(t, l, tt.want)
			if len(l.open) != 1 {
				t.Errorf("%d accounts are left", len(l.open))
			}
		})
	}
}

// TestMeet: nobody is somebody else, or twice.
func TestMeet(t *testing.T) {
	w := &way{name: "plain"}
	l := ledgerOf(w)
	l.begin(7, w, nil)
	if l.meet(7) != w {
		t.Error("not met")
	}
	only(t, l, "")
	if l.meet(7) != nil || l.meet(8) != nil {
		t.Error("met a stranger")
	}
	only(t, l, invBytes)
	l.closeFar(8, far{})
	if v := l.violations(); len(v) != 2 || v[0].Count != 2 || v[1].Invariant != invClosed {
		t.Error(v)
	}
}

func ledgerOf(w *way) *ledger {
	l := newLedger(new(verdict))
	l.ways[w] = new(wayCount)
	return l
}

// only checks that this invariant is violated, or none, and no other.
func only(t *testing.T, l *ledger, want string) {
	t.Helper()
	v := l.violations()
	if want == "" && len(v) > 0 || want != "" && (len(v) != 1 || v[0].Invariant != want) {
		t.Errorf("violated: %v; want %q", v, want)
	}
}
