package main

import (
	"testing"

	"github.com/proactor-go/proactor"
	"github.com/proactor-go/proactor/proactortest"
)

// A run that fails prints the command that shows it again, event by event.
func TestWords(t *testing.T) {
	proactortest.Run(t, func(e *proactortest.Env) {
		c := e.Dial(e.Serve(&proactor.Server{Handler: handler()}))
		c.Send("completion ports on every system ")
		c.CloseWrite()
		c.Expect("5 words\n")
		c.ExpectEnd()
	})
}
