package wheel

// Group has timers that end together, such as those of one connection. A timer stays in its
// group until it is forgotten or leaves, whether or not it is set.
type Group[V any] struct{ first *Timer[V] }

// Add puts a timer that is in no group into this one.
func (g *Group[V]) Add(t *Timer[V]) {
	if t.behind = g.first; t.behind != nil {
		t.behind.link = &t.behind
	}
	g.first, t.link = t, &g.first
}

// Empty reports whether no timer is in the group.
func (g *Group[V]) Empty() bool { return g.first == nil }

// Leave takes t out of its group, if it is in one. A timer that was never set, has fired, or
// whose group was forgotten is in none.
func (t *Timer[V]) Leave() {
	if t.link == nil {
		return
	}
	if *t.link = t.behind; t.behind != nil {
		t.behind.link = t.link
	}
	t.behind, t.link = nil, nil
}

// Forget takes a timer off the wheel and out of its group.
func (w *Wheel[V]) Forget(t *Timer[V]) {
	w.Drop(t)
	t.Leave()
}

// ForgetAll does so with all timers of a group.
func (w *Wheel[V]) ForgetAll(g *Group[V]) {
	for g.first != nil {
		w.Forget(g.first)
	}
}
