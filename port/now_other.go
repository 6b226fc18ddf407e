//go:build !linux

package port

// sendNow is not called: no backend here does it.
func sendNow(*sock, []byte) (int, error) { return 0, nil }
