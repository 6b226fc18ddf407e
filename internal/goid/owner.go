package goid

import "sync"

var owners sync.Map // goroutines, as self has them: whose they are

// Own notes whose the calling goroutine is, until Disown, which it calls before it
// ends.
func Own(owner any) { owners.Store(self(), owner) }

// Disown ends Own.
func Disown() { owners.Delete(self()) }

// Owner is whose the calling goroutine is, nil if nobody has said so. On amd64 and
// arm64 it takes some nanoseconds and no memory, so every call may ask that is about to
// wait; elsewhere it is as slow as Current.
func Owner() any {
	owner, _ := owners.Load(self())
	return owner
}

// OnLoop reports whether the calling goroutine is that of a loop: other connections need it, so
// no call may wait there. A worker of package work has an owner, too, and may wait.
func OnLoop() bool {
	_, is := Owner().(interface{ MustNotWait() })
	return is
}
