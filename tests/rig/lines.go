package rig

import (
	"bufio"
	"fmt"

	"github.com/proactor-go/proactor"
)

// Lines is a handler that answers each line with its number and length.
func Lines() proactor.Handler {
	return proactor.Handler{
		Split: bufio.ScanLines,
		Message: func(c *proactor.Conn, msg []byte) {
			n, _ := c.Value().(int)
			c.SetValue(n + 1)
			fmt.Fprintf(c, "%d:%s\n", n, msg)
		},
	}
}
