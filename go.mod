module github.com/proactor-go/proactor

go 1.26.0

require golang.org/x/sys v0.49.0

require github.com/google/go-cmp v0.7.0

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0
	github.com/alecthomas/kong v1.17.0
	go.uber.org/goleak v1.3.0
	golang.org/x/term v0.47.0
)
