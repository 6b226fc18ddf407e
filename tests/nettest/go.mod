module github.com/proactor-go/proactor/tests/nettest

go 1.26.0

replace github.com/proactor-go/proactor => ../../

require (
	github.com/proactor-go/proactor v0.0.0-00010101000000-000000000000
	golang.org/x/net v0.62.0
)

require (
	go.uber.org/goleak v1.3.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)
