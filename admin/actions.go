package admin

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/proactor-go/proactor"
)

// errNotThere is what an action fails with whose object does not exist.
var errNotThere = errors.New("there is none")

// withToken runs an action where the request has the token.
func (a *admin) withToken(action func(*http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		given, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if a.Token == "" || subtle.ConstantTimeCompare([]byte(given), []byte(a.Token)) == 0 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "this needs the token that the server was started with", http.StatusUnauthorized)
			return
		}
		switch err := action(r); {
		case errors.Is(err, errNotThere):
			http.Error(w, err.Error(), http.StatusNotFound)
		case err != nil:
			http.Error(w, err.Error(), http.StatusConflict)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

// endConn closes a connection, or resets it.
func (a *admin) endConn(r *http.Request) error {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return fmt.Errorf("connection %q: %w", r.PathValue("id"), errNotThere)
	}
	var c *proactor.Conn
	err = a.each(r.Context(), func(one *proactor.Conn, info *proactor.ConnInfo) bool {
		if info.ID == id {
			c = one
		}
		return c == nil
	})
	switch {
	case err != nil:
		return err
	case c == nil:
		return fmt.Errorf("connection %d: %w", id, errNotThere)
	}
	switch how := r.PathValue("how"); how {
	case "close":
		return c.Close()
	case "abort":
		c.Abort()
		return nil
	default:
		return fmt.Errorf("%s: %w", how, errNotThere)
	}
}

// defaultDrain is how long a server drains that was told no time.
const defaultDrain = 30 * time.Second

// changeServer pauses, resumes or drains a server. A drain goes on after the answer; what is left when its time
// ("timeout", 30s by default) is up is reset.
func (a *admin) changeServer(r *http.Request) error {
	srv := a.Servers[r.PathValue("name")]
	if srv == nil {
		return fmt.Errorf("server %q: %w", r.PathValue("name"), errNotThere)
	}
	switch do := r.PathValue("do"); do {
	case "pause":
		return srv.Pause()
	case "resume":
		return srv.Resume()
	case "drain":
		d := defaultDrain
		if text := r.FormValue("timeout"); text != "" {
			var err error
			if d, err = time.ParseDuration(text); err != nil {
				return fmt.Errorf("timeout: %w", err)
			}
		}
		end := a.Drains[r.PathValue("name")]
		if end == nil {
			end = srv.Shutdown
		}
		go func() {
			ctx, cancel := context.WithTimeout(context.Background(), d)
			defer cancel()
			end(ctx)
		}()
		return nil
	default:
		return fmt.Errorf("%s: %w", do, errNotThere)
	}
}

// setLevel sets the level of the log.
func (a *admin) setLevel(r *http.Request) error {
	if a.Level == nil {
		return fmt.Errorf("a level that can be set: %w", errNotThere)
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(r.PathValue("level"))); err != nil {
		return err
	}
	a.Level.Set(level)
	return nil
}
