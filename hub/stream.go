package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
)

// History is what is kept of each room, by JetStream: with three replicas where the nodes are a cluster, which it needs
// three nodes for, and a majority of them. See Resume, and docs/scale.md.
type History struct {
	// Last is how many messages are kept of a room, at most, up to MaxLast. 0: 100. A node gives members no more of
	// them than MaxReplay bytes.
	Last int
	// For is how long a message is kept, at most: a second or more. 0: an hour. Below 15 s one that waits for NATS for longer than
	// that may be kept twice; on nodes that had it, it comes once.
	For time.Duration
	// Dir is where the server in this process keeps them. "": in memory; a directory for what it notes besides is made in
	// that of the system for temporary files, and removed by Close.
	Dir string
}

const (
	// MaxLast bounds History.Last.
	MaxLast = 10_000
	// MaxReplay bounds what a node holds of a room to give it to members that come back, in bytes: payloads, what
	// they are encoded to, and 256 for each message.
	MaxReplay = 1 << 20
	// MaxHistory bounds what is kept of all rooms together on each of the nodes that keep it, in bytes. The oldest messages go.
	MaxHistory = 256 << 20
)

const (
	streamName   = "hub"
	liveSubject  = "hub.live."  // and the room: a message that is kept, from the stream
	flowSubject  = "hub.flow."  // and the room: one that is not
	probeSubject = "hub.probe." // and the hub: to learn whether messages are kept
)

// sound fills in what is not set.
func (o *History) sound() (History, error) {
	h := *o
	if h.Last == 0 {
		h.Last = 100
	}
	if h.For == 0 {
		h.For = time.Hour
	}
	if h.Last < 0 || h.Last > MaxLast || h.For < time.Second {
		return h, fmt.Errorf("hub: History: Last is 1 to %d, and For a second or more", MaxLast)
	}
	return h, nil
}

// streamOptions has the server in this process keep streams.
func streamOptions(so *server.Options, name, dir string) error {
	so.JetStream, so.StoreDir, so.DisableJetStreamBanner = true, dir, true
	so.JetStreamMaxMemory, so.JetStreamMaxStore = 2*MaxHistory, 2*MaxHistory // half of it is free for what is not counted
	if so.Cluster.Host == "" {
		return nil
	}
	if so.Cluster.Port == server.RANDOM_PORT {
		// The routes below have to name it.
		port, err := anyPort(so.Cluster.Host)
		if err != nil {
			return fmt.Errorf("hub: Cluster: %w", err)
		}
		so.Cluster.Port = port
	}
	so.ServerName = fmt.Sprint(name, "-", so.Cluster.Port) // it is the one of before, which the others may count on
	// Nodes that start count their routes to know how many they are: two of three have to be there before anything is
	// kept. One to the node itself counts, and is not dialed.
	for len(so.Routes) < replicas {
		so.Routes = append(so.Routes, &url.URL{Scheme: "nats", Host: net.JoinHostPort("localhost", strconv.Itoa(so.Cluster.Port))})
	}
	return nil
}

// anyPort is a port that is free. It is below those that systems give to connections going out, 32768 and more: one of them could
// take it before the server does.
func anyPort(host string) (port int, err error) {
	for range 10 {
		port = 20000 + rand.IntN(12000)
		var l net.Listener
		if l, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port))); err == nil {
			return port, l.Close()
		}
	}
	return 0, err
}

// replicas is how many nodes of a cluster keep the messages.
const replicas = 3

// streamConfig is the stream of all rooms. One message more than Last is kept of a room: where that one is, it is known that
// nothing is missing between it and the others.
func streamConfig(o *History, replicas int) *jetstream.StreamConfig {
	c := &jetstream.StreamConfig{
		Name: streamName, Subjects: []string{roomSubject + ">", probeSubject + "*"},
		MaxMsgsPerSubject: int64(o.Last) + 1, MaxAge: o.For, MaxBytes: MaxHistory, MaxMsgs: -1, MaxConsumers: -1, MaxMsgSize: -1,
		Storage: jetstream.MemoryStorage, Replicas: replicas, Duplicates: min(o.For, 2*time.Minute), AllowDirect: true,
		RePublish: &jetstream.RePublish{Source: roomSubject + ">", Destination: liveSubject + ">"},
		// Numbers that a member has seen of a stream that is gone are below those of the one after it, as long as there are fewer than
		// a million messages a second; and JavaScript can hold them.
		FirstSeq: uint64(time.Now().UnixMicro()),
	}
	if o.Dir != "" {
		c.Storage = jetstream.FileStorage
	}
	return c
}

// apiError is what JetStream answers instead of what it was asked for.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return "JetStream: " + e.Description }

const (
	errNoStream     = 10059
	errNoMessage    = 10037
	errNotClustered = 10074
)

func isAPIError(err error, code int) bool {
	var e *apiError
	return errors.As(err, &e) && e.ErrCode == code
}

// streamState is what the hub needs of the answer about the stream.
type streamState struct {
	Config struct {
		MaxMsgsPerSubject int64 `json:"max_msgs_per_subject"`
		Replicas          int   `json:"num_replicas"`
	} `json:"config"`
	State struct {
		FirstSeq uint64 `json:"first_seq"`
		LastSeq  uint64 `json:"last_seq"`
	} `json:"state"`
}

// api asks JetStream for something, and waits, up to apiWait. answer: a struct for its JSON.
func (h *Hub) api(subject string, request, answer any) error {
	var p []byte
	if request != nil {
		p, _ = json.Marshal(request)
	}
	data, err := h.asked("$JS.API."+subject, p)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, answer)
}

// asked is JetStream's answer to a request, for which it waits up to apiWait. Its error is an *apiError where JetStream has told one.
func (h *Hub) asked(subject string, p []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(h.ctx, apiWait)
	defer cancel()
	m, err := h.nc.RequestWithContext(ctx, subject, p)
	if err != nil {
		return nil, err
	}
	var e struct {
		Error *apiError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &e); err != nil {
		return nil, err
	}
	if e.Error != nil {
		return nil, e.Error
	}
	return m.Data, nil
}

const apiWait = 2 * time.Second

// stream finds the stream, or makes it.
func (h *Hub) stream(o *History, replicas int) (*streamState, error) {
	s := new(streamState)
	err := h.api("STREAM.INFO."+streamName, nil, s)
	if isAPIError(err, errNoStream) {
		err = h.api("STREAM.CREATE."+streamName, streamConfig(o, replicas), s)
		if isAPIError(err, errNotClustered) {
			err = h.api("STREAM.CREATE."+streamName, streamConfig(o, 1), s)
		}
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}
