//go:build !race

package port

func raceSent() {}

func raceCame() {}
