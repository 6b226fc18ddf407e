package goid

import "sync"

var owners sync.Map // numbers of goroutines: whose they are

// Own notes whose the calling goroutine is, until Disown, which it calls before it
// ends.
func Own(owner any) { owners.Store(Current(), owner) }

// Disown ends Own.
func Disown() { owners.Delete(Current()) }

// Owner is whose the calling goroutine is, nil if nobody has said so. It is as slow
// as Current: only for calls that are about to wait.
func Owner() any {
	owner, _ := owners.Load(Current())
	return owner
}
