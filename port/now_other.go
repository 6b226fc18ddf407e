//go:build !linux

package port

// thread is 0: no port here needs to know.
func thread() uint32 { return 0 }

// sendNow is not called without a thread.
func sendNow(*sock, []byte) int { return 0 }
