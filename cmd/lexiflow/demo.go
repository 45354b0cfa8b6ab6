package main

import (
	"context"
	"encoding/json"
	"errors"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects"
	"github.com/lexiflow/realtime/subjects/schema"
)

// demoPerson is somebody whom the demo may be used as.
type demoPerson struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Role string `json:"role"`
	// Token is made for each answer, so that the demo replaces its token in place as a real login does.
	Token string `json:"token"`
}

// demoPeople work at the demo's firm.
var demoPeople = []demoPerson{
	{ID: "ann", Name: "Ann Keller", Role: "Partner"},
	{ID: "ben", Name: "Ben Osei", Role: "Associate"},
	{ID: "cleo", Name: "Cleo Marsh", Role: "Paralegal"},
}

const (
	demoScope     = "case:* dashboard:firm"
	demoSession   = time.Hour
	demoBody      = 64 << 10 // bytes of a request
	demoKept      = 200      // events of a case that its page begins with
	demoRead      = 10_000   // events that are looked through for them
	demoPatience  = 5 * time.Second
	demoHeartbeat = time.Second
)

// routes are what the pages of up ask for beside their files. Each is for this machine alone.
func (d *demo) routes(mux *http.ServeMux) {
	mux.HandleFunc("GET /demo.json", d.here(d.introduce))
	if d.nc == nil {
		return
	}
	mux.HandleFunc("GET /demo/cases/{id}", d.here(d.history))
	mux.HandleFunc("POST /demo/events", d.here(d.event))
	mux.HandleFunc("POST /demo/notices", d.here(d.notice))
}

// here passes on what a page of this machine asks: the listener is loopback, so nobody else reaches it;
// the Host is, so a name that was pointed here by its owner gets nothing (DNS rebinding); no proxy says
// that it passes on what somebody else asks; and the browser does not say that another site does. What
// changes something must be JSON besides, which no form of another site can send without asking first.
func (d *demo) here(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		proxied := r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" || r.Header.Get("Via") != ""
		site := r.Header.Get("Sec-Fetch-Site")
		foreign := site != "" && site != "same-origin" && site != "none"
		if origin := r.Header.Get("Origin"); origin != "" && origin != "http://"+r.Host {
			foreign = true
		}
		if !d.local || d.token == "" || proxied || foreign || !loopbackHost(r.Host) {
			http.NotFound(w, r)
			return
		}
		if r.Method == http.MethodPost {
			if sent, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || sent != "application/json" {
				http.Error(w, "Content-Type must be application/json", http.StatusUnsupportedMediaType)
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, demoBody)
		}
		ctx, cancel := context.WithTimeout(r.Context(), demoPatience)
		defer cancel()
		next(w, r.WithContext(ctx))
	}
}

// loopbackHost reports whether a Host header names this machine.
func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// introduce gives the page of raw events its token, and the demo its people with theirs.
func (d *demo) introduce(w http.ResponseWriter, _ *http.Request) {
	people := slices.Clone(demoPeople)
	for i := range people {
		claims := d.claims
		claims.Subject, claims.Scope, claims.Role = people[i].ID, demoScope, strings.ToLower(people[i].Role)
		token, err := mint(d.secret, claims, time.Now(), demoSession)
		if err != nil {
			answer(w, nil, err)
			return
		}
		people[i].Token = token
	}
	answer(w, map[string]any{
		"token": d.token, "user": demoUser, "program": d.program, "nats": d.natsURL, "people": people,
	}, nil)
}

// event publishes what a microservice would: a declared event of a case or of everybody.
func (d *demo) event(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Kind    subjects.Kind   `json:"kind"`
		ID      string          `json:"id"`
		Event   string          `json:"event"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		answer(w, nil, subjects.Errorf(subjects.CodeInvalidInput, "the request: %w", err))
		return
	}
	s := subjects.Subject{Class: subjects.Log, Kind: asked.Kind, ID: asked.ID, Event: asked.Event}
	if err := demoMayPublish(s, asked.Payload); err != nil {
		answer(w, nil, err)
		return
	}
	js, err := jetstream.New(d.nc)
	if err != nil {
		answer(w, nil, err)
		return
	}
	sequence, err := subjects.NewPublisher(d.nc, js).Publish(r.Context(), s, asked.Payload)
	answer(w, map[string]any{"sequence": sequence}, err)
}

// demoMayPublish allows what is declared for cases and for everybody, and fits its schema.
func demoMayPublish(s subjects.Subject, payload []byte) error {
	declared := slices.ContainsFunc(subjects.Declarations(), func(d subjects.Declaration) bool {
		return d.Name == s.Event && d.Role == subjects.RoleEvent && d.Class == subjects.Log && d.Kind == s.Kind
	})
	if !declared || s.Kind != subjects.KindCase && s.Kind != subjects.KindAll {
		return subjects.Errorf(subjects.CodeInvalidEvent, "the demo publishes declared events of cases and of everybody; %q is none of kind %q", s.Event, s.Kind)
	}
	report, err := schema.Check(s, payload)
	if err == nil && len(report.Wrong) > 0 {
		err = subjects.Errorf(subjects.CodeInvalidInput, "the payload does not fit %s: %s", s.Event, strings.Join(lines(report.Wrong), "; "))
	}
	return err
}

// notice tells one of the demo's people something, as a microservice would.
func (d *demo) notice(w http.ResponseWriter, r *http.Request) {
	var asked subjects.NotifyRequest
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		answer(w, nil, subjects.Errorf(subjects.CodeInvalidInput, "the request: %w", err))
		return
	}
	if !slices.ContainsFunc(demoPeople, func(p demoPerson) bool { return p.ID == asked.UserID }) {
		answer(w, nil, subjects.Errorf(subjects.CodeInvalidInput, "%q is none of the demo's people", asked.UserID))
		return
	}
	request, err := json.Marshal(asked)
	if err != nil {
		answer(w, nil, err)
		return
	}
	reply, err := subjects.Request(r.Context(), d.nc, subjects.NotifySend, subjects.Caller{}, request)
	if err != nil {
		answer(w, nil, err)
		return
	}
	answer(w, json.RawMessage(reply.Data), nil)
}

// demoEvent is an event as the page of a case begins with it.
type demoEvent struct {
	Sequence uint64          `json:"sequence"`
	Event    string          `json:"event"`
	Time     time.Time       `json:"time"` // the log's, for payloads without a timestamp
	Payload  json.RawMessage `json:"payload"`
}

// history gives the newest events of a case, oldest first, so that its page shows more than what happens
// from now on. Where a firm would ask its database, the demo has only the log.
func (d *demo) history(w http.ResponseWriter, r *http.Request) {
	room, err := subjects.Room(subjects.KindCase, r.PathValue("id"))
	if err != nil {
		answer(w, nil, err)
		return
	}
	events, err := d.read(r.Context(), subjects.Log.String()+"."+room+".>")
	answer(w, map[string]any{"events": events}, err)
}

func (d *demo) read(ctx context.Context, subject string) ([]demoEvent, error) {
	js, err := jetstream.New(d.nc)
	if err != nil {
		return nil, err
	}
	consumer, err := js.OrderedConsumer(ctx, subjects.StreamLog, jetstream.OrderedConsumerConfig{FilterSubjects: []string{subject}})
	if err != nil {
		return nil, err
	}
	events := []demoEvent{}
	left := consumer.CachedInfo().NumPending
	for read := 0; left > 0 && read < demoRead && ctx.Err() == nil; {
		batch, err := consumer.Fetch(int(min(left, demoKept)), jetstream.FetchMaxWait(demoHeartbeat))
		if err != nil {
			return nil, err
		}
		for m := range batch.Messages() {
			about, err := m.Metadata()
			if err != nil {
				return nil, err
			}
			read, left = read+1, about.NumPending
			s, err := subjects.Parse(m.Subject())
			if err != nil || !json.Valid(m.Data()) {
				continue // no client gets it either
			}
			events = append(events, demoEvent{about.Sequence.Stream, s.Event, about.Timestamp, m.Data()})
		}
		if err := batch.Error(); err != nil && !errors.Is(err, nats.ErrTimeout) {
			return nil, err
		}
		events = events[max(len(events)-demoKept, 0):]
	}
	return events, ctx.Err()
}

// answer writes JSON, of an error its code and text.
func answer(w http.ResponseWriter, body any, err error) {
	status := http.StatusOK
	if err != nil {
		status = http.StatusBadGateway
		switch code := subjects.CodeOf(err); code {
		case subjects.CodeInvalidInput, subjects.CodeInvalidEvent, subjects.CodeMessageTooLarge:
			status = http.StatusBadRequest
			body = map[string]string{"error": err.Error(), "code": string(code)}
		default:
			body = map[string]string{"error": err.Error(), "code": string(code)}
		}
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}
