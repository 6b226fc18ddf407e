//go:build !linux

package port

// sendNow is not called: no port here locks its goroutine.
func sendNow(*sock, []byte) int { return 0 }
