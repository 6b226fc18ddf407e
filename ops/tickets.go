package ops

import (
	"crypto/rand"
	"crypto/tls"
	"sync"
	"time"
)

// key encrypts session tickets.
type key = [32]byte

// As package tls does: a new key each day, and tickets of the last seven are taken.
const (
	rotation = 24 * time.Hour
	keysKept = 8
)

// tickets are the keys of configs.
type tickets struct {
	configs []*tls.Config

	mu   sync.Mutex
	keys [][]key // of each config, the newest first
}

// begin gives the configs keys: those of the process before, or new ones.
func (t *tickets) begin(configs []*tls.Config, before [][]key) error {
	t.configs, t.keys = configs, make([][]key, len(configs))
	for i, c := range configs {
		if i < len(before) && len(before[i]) > 0 {
			t.keys[i] = before[i]
			c.SetSessionTicketKeys(t.keys[i])
			continue
		}
		if err := t.change(i); err != nil {
			return err
		}
	}
	return nil
}

// rotate has tickets encrypted with new keys.
func (t *tickets) rotate() error {
	for i := range t.configs {
		if err := t.change(i); err != nil {
			return err
		}
	}
	return nil
}

func (t *tickets) change(i int) error {
	var k key
	if _, err := rand.Read(k[:]); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.keys[i]
	t.keys[i] = append([]key{k}, old[:min(len(old), keysKept-1)]...)
	t.configs[i].SetSessionTicketKeys(t.keys[i])
	return nil
}
