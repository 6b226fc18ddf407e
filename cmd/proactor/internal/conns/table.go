package conns

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/proactor-go/proactor/admin"
	"github.com/proactor-go/proactor/cmd/proactor/internal/plain"
)

// Table prints connections, a row each.
type Table struct {
	w    *tabwriter.Writer
	rows int
}

// tableBlock is how many rows are aligned with each other, and so kept: a list may be
// of a million.
const tableBlock = 1000

// NewTable begins with the head.
func NewTable(w io.Writer) *Table {
	t := &Table{w: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	fmt.Fprintln(t.w, "ID\tLocal\tPeer\tState\tIn\tOut\tPending\tAge\tIdle")
	return t
}

// Row adds a connection. Its texts may come from anywhere: the path of a Unix socket
// is what its user chose.
func (t *Table) Row(c admin.Conn) error {
	_, err := fmt.Fprintf(t.w, "%d\t%s\t%s\t%s\t%d\t%d\t%d\t%v\t%v\n", c.ID, plain.Text(c.Local), plain.Text(c.Remote), plain.Text(c.State),
		c.BytesIn, c.BytesOut, c.Pending, c.Age.Round(time.Millisecond), c.Idle.Round(time.Millisecond))
	if t.rows++; t.rows%tableBlock == 0 {
		err = t.w.Flush()
	}
	return err
}

// Flush prints what is left.
func (t *Table) Flush() error { return t.w.Flush() }
