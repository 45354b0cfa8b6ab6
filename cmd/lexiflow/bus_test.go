package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/edge/sioclient"
	"github.com/lexiflow/realtime/subjects"
)

// site is a running up, and how to give it commands.
type site struct {
	*process
	url, natsURL string
}

// startSite runs up with these services.
func startSite(t *testing.T, services string) *site {
	t.Helper()
	p := start(t, []string{"JWT_SECRET=" + testSecret}, "up", "--services", services,
		"--listen", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data-dir", t.TempDir(), "--drain-timeout", "100ms")
	return &site{p, p.says(saysURL), p.says(saysNATS)}
}

// run gives one command, which must succeed, and returns what it prints.
func (s *site) run(t *testing.T, args ...string) string {
	t.Helper()
	o := s.try(t, args...)
	if o.code != exitOK {
		t.Fatalf("%q: %+v", args, o)
	}
	return o.out
}

func (s *site) try(t *testing.T, args ...string) outcome {
	t.Helper()
	return lexiflow(t.Context(), map[string]string{"LEXIFLOW_NATS": s.natsURL, "LEXIFLOW_TIMEOUT": patience.String()}, "", args...)
}

// bus connects to the site's NATS.
func (s *site) bus(t *testing.T) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(s.natsURL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// signed signs claims as of some time.
func signed(t *testing.T, claims tokenClaims, at time.Time) string {
	t.Helper()
	token, err := mint(testSecret, claims, at, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func claimsOf(t *testing.T, token string) (claims tokenClaims) {
	t.Helper()
	if _, _, err := jwt.NewParser().ParseUnverified(token, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func userClaims(user string) tokenClaims {
	return tokenClaims{RegisteredClaims: jwt.RegisteredClaims{Subject: user}}
}

// closes waits until the server has closed the connection.
func (c *client) closes(t *testing.T) {
	t.Helper()
	select {
	case <-c.Done():
	case <-time.After(patience):
		t.Fatal("the connection stays open")
	}
}

// refused dials and wants to be refused.
func (s *site) refused(t *testing.T, token string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := sioclient.Dial(ctx, sioclient.Options{URL: s.url, Namespace: "/events", Token: token})
	if err == nil {
		c.Close()
		t.Error("a revoked token is accepted")
		return
	}
	if !strings.Contains(err.Error(), "AUTH_FAILED") {
		t.Errorf("refused with %v", err)
	}
}

func TestRevoke(t *testing.T) {
	s := startSite(t, "none")
	const user = "auth0|7"
	now := time.Now()
	old, other := signed(t, userClaims(user), now), signed(t, userClaims("u2"), now)

	first, second, bystander := dial(t, s.url, old), dial(t, s.url, old), dial(t, s.url, other)
	if got := s.run(t, "revoke", "user", user); !strings.HasPrefix(got, "user auth0|7 is revoked until ") {
		t.Errorf("revoke prints %q", got)
	}
	first.closes(t)
	second.closes(t)
	s.refused(t, old)
	dial(t, s.url, signed(t, userClaims(user), now.Add(time.Minute))) // a later login
	s.run(t, "revoke", "user", user, "--undo")
	s.accepts(t, old)

	dial(t, s.url, old)
	id := claimsOf(t, other).ID
	s.run(t, "revoke", "token", id, "--for", "1h")
	bystander.closes(t)
	s.refused(t, other)
	dial(t, s.url, signed(t, userClaims("u2"), now)) // the user's other token
	s.run(t, "revoke", "token", id, "--undo")
	s.run(t, "revoke", "token", id, "--undo") // twice is once
	s.accepts(t, other)
	s.stop()
}

// accepts waits until the edge has heard that a token is good again.
func (s *site) accepts(t *testing.T, token string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		c, err := sioclient.Dial(ctx, sioclient.Options{URL: s.url, Namespace: "/events", Token: token})
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-time.After(20 * time.Millisecond): // refused tokens are throttled
		case <-ctx.Done():
			t.Fatal(err)
		}
	}
}

// A revocation goes by itself, a repeated one too.
func TestRevocationEnds(t *testing.T) {
	s := startSite(t, "none")
	bucket, err := s.bus(t).KeyValue(t.Context(), subjects.BucketRevoked)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watcher, err := bucket.Watch(ctx, "user.u1", jetstream.UpdatesOnly())
	if err != nil {
		t.Fatal(err)
	}
	s.run(t, "revoke", "user", "u1")
	s.run(t, "revoke", "user", "u1", "--for", "1s")
	for _, want := range []jetstream.KeyValueOp{jetstream.KeyValuePut, jetstream.KeyValuePut, jetstream.KeyValuePurge} {
		select {
		case entry := <-watcher.Updates():
			if entry == nil || entry.Operation() != want {
				t.Fatalf("the entry is %v, want %v", entry, want)
			}
		case <-ctx.Done():
			t.Fatalf("no %v", want)
		}
	}
	s.stop()
}

func TestRevocation(t *testing.T) {
	at := time.Unix(1000, 900_000_000)
	for name, c := range map[string]struct{ what, id, key, value, says string }{
		"a user":      {"user", "a@b", "user.a=40b", `{"before":1001}`, ""},
		"a token":     {"token", "JTI-1", "jti.JTI-1", `{}`, ""},
		"a wildcard":  {"user", "*", "user.=2A", `{"before":1001}`, ""},
		"nothing":     {"user", "", "", "", "user"},
		"a whole JWT": {"token", strings.Repeat("e", 200), "", "", "jti"},
		"a case":      {"case", "1", "", "", `"case"`},
	} {
		t.Run(name, func(t *testing.T) {
			key, value, err := revocation(c.what, c.id, at)
			if c.says != "" {
				if err == nil || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || key != c.key || string(value) != c.value {
				t.Errorf("%s %s %v", key, value, err)
			}
		})
	}
}

func TestAccess(t *testing.T) {
	s := startSite(t, "none")
	ann := dial(t, s.url, signed(t, userClaims("ann@firm"), time.Now()))
	ask := func(c *client) error {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		return ask(ctx, c.Client, "subscribe:case", map[string]string{"caseId": "12|3"})
	}
	list := func(args ...string) (l accessList) {
		t.Helper()
		out := s.run(t, append([]string{"access", args[0], "case", "12|3"}, args[1:]...)...)
		if err := json.Unmarshal([]byte(out), &l); err != nil {
			t.Fatalf("%s: %v", out, err)
		}
		return l
	}
	want := func(l accessList, revision int64, allow, deny string) {
		t.Helper()
		if l.Revision != revision || strings.Join(l.Allow, " ") != allow || strings.Join(l.Deny, " ") != deny {
			t.Errorf("the list is %+v", l)
		}
	}
	want(list("show"), 0, "", "")
	if err := ask(ann); err == nil {
		t.Error("who is not on the list gets in")
	}
	want(list("grant", "ann@firm", "bob"), 1, "ann@firm bob", "")
	want(list("grant", "bob"), 1, "ann@firm bob", "") // no news, no event
	if err := ask(ann); err != nil {
		t.Errorf("who was granted access is refused: %v", err)
	}
	publish(t, s.natsURL, "case", "12|3", "a:b")
	ann.gets(t, "a:b")

	scoped := dial(t, s.url, tokenFor(t, "carl"))
	if err := ask(scoped); err != nil {
		t.Errorf("a scope is refused: %v", err)
	}
	want(list("deny", "carl", "bob"), 2, "ann@firm", "carl bob")
	scoped.gets(t, "error")
	if err := ask(scoped); err == nil {
		t.Error("who is denied gets in")
	}
	want(list("drop", "carl", "ann@firm"), 3, "", "bob")
	ann.gets(t, "error")
	if err := ask(scoped); err != nil {
		t.Errorf("who is no longer denied is refused: %v", err)
	}
	want(list("show"), 3, "", "bob")
	s.stop()
}

// Of changes made at the same time, none is lost; and a list that the log has forgotten goes on from
// the bucket.
func TestAccessLosesNothing(t *testing.T) {
	s := startSite(t, "none")
	const many = 8
	var all sync.WaitGroup
	for i := range many {
		all.Go(func() {
			o := s.try(t, "access", "grant", "team", "t1", fmt.Sprintf("u%d", i))
			if o.code != exitOK {
				t.Errorf("%+v", o)
			}
		})
	}
	all.Wait()
	read := func(args ...string) (l accessList) {
		t.Helper()
		if err := json.Unmarshal([]byte(s.run(t, append([]string{"access"}, args...)...)), &l); err != nil {
			t.Fatal(err)
		}
		return l
	}
	if l := read("show", "team", "t1"); len(l.Allow) != many || l.Revision != many {
		t.Errorf("the list is %+v", l)
	}
	s.waitForBucket(t, "team.t1", many)
	js := s.bus(t)
	log, err := js.Stream(t.Context(), subjects.StreamLog)
	if err != nil {
		t.Fatal(err)
	}
	if err := log.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if l := read("drop", "team", "t1", "u0"); len(l.Allow) != many-1 || slices.Contains(l.Allow, "u0") || l.Revision != many+1 {
		t.Errorf("after the log was emptied the list is %+v", l)
	}
	s.stop()
}

// waitForBucket waits until ACCESS has taken a revision from the log.
func (s *site) waitForBucket(t *testing.T, key string, revision int64) {
	t.Helper()
	bucket, err := s.bus(t).KeyValue(t.Context(), subjects.BucketAccess)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	watcher, err := bucket.Watch(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	for entry := range watcher.Updates() {
		if entry == nil {
			continue
		}
		if l, err := subjects.AccessChanged.Decode(entry.Value()); err != nil || l.Revision >= revision {
			return
		}
	}
	t.Fatal("the bucket does not follow the log")
}

func TestNotify(t *testing.T) {
	s := startSite(t, "notifyd")
	device := dialTo(t, s.url, "/notifications", tokenFor(t, "auth0|7"))
	out := s.run(t, "notify", "auth0|7", "--title", "Filing due", "--message", "noon", "--type", "deadline_reminder", "--priority", "urgent", "--action-url", "/cases/1")
	if out != "1\n" {
		t.Errorf("notify prints %q", out)
	}
	got := device.gets(t, "notification:new")
	for key, want := range map[string]any{
		"title": "Filing due", "message": "noon", "type": "deadline_reminder", "priority": "urgent", "actionUrl": "/cases/1", "userId": "auth0|7",
	} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	for name, args := range map[string][]string{
		"a type":   {"--title", "x", "--type", "Not A Type"},
		"an URL":   {"--title", "x", "--action-url", "javascript:alert(1)"},
		"no title": {"--title", "  "},
	} {
		if o := s.try(t, append([]string{"notify", "u1"}, args...)...); o.code != exitUsage || o.remark == "" {
			t.Errorf("%s: %+v", name, o)
		}
	}
	s.stop()
}

func TestBusToolsRefuse(t *testing.T) {
	s := startSite(t, "none")
	away := []string{"--nats", "nats://127.0.0.1:1", "--timeout", "300ms"}
	bare := start(t, nil, "nats", "--nats-listen", "127.0.0.1:0", "--data-dir", t.TempDir())
	bareURL := bare.says(saysNATS)
	nc, err := nats.Connect(bareURL)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, bucket := range []string{subjects.BucketRevoked, subjects.BucketAccess} {
		if err := js.DeleteKeyValue(t.Context(), bucket); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		args []string
		code int
		says string
	}{
		"revoke what":              {[]string{"revoke", "case", "1"}, exitUsage, "revoke user ID"},
		"revoke whom":              {[]string{"revoke", "user"}, exitUsage, "revoke {user ID"},
		"revoke for too short":     {[]string{"revoke", "user", "u", "--for", "1ms"}, exitUsage, "--for"},
		"revoke without NATS":      {append([]string{"revoke", "user", "u"}, away...), exitFailed, "--nats nats://127.0.0.1:1"},
		"revoke without a bucket":  {[]string{"revoke", "user", "u", "--nats", bareURL}, exitFailed, "none of LexiFlow's streams"},
		"undo without a bucket":    {[]string{"revoke", "user", "u", "--undo", "--nats", bareURL}, exitFailed, "none of LexiFlow's streams"},
		"access what":              {[]string{"access", "open", "case", "1"}, exitUsage, "grant"},
		"access of a user":         {[]string{"access", "show", "user", "1"}, exitUsage, `"user"`},
		"access to a conversation": {[]string{"access", "grant", "conversation", "1", "u"}, exitUsage, "conversation:members"},
		"access for nobody":        {[]string{"access", "grant", "case", "1"}, exitUsage, "USER"},
		"show with users":          {[]string{"access", "show", "case", "1", "u"}, exitUsage, "no users"},
		"access for ''":            {[]string{"access", "deny", "case", "1", ""}, exitUsage, `""`},
		"access without NATS":      {append([]string{"access", "show", "case", "1"}, away...), exitFailed, "--nats nats://127.0.0.1:1"},
		"access without a bucket":  {[]string{"access", "show", "case", "1", "--nats", bareURL}, exitFailed, "none of LexiFlow's streams"},
		"notify without a title":   {[]string{"notify", "u"}, exitUsage, "--title"},
		"notify nobody":            {[]string{"notify", "", "--title", "x"}, exitUsage, "user"},
		"a priority":               {[]string{"notify", "u", "--title", "x", "--priority", "asap"}, exitUsage, "--priority"},
		"notify without NATS":      {append([]string{"notify", "u", "--title", "x"}, away...), exitFailed, "--nats nats://127.0.0.1:1"},
		"notify without notifyd":   {[]string{"notify", "u", "--title", "x", "--nats", bareURL}, exitFailed, "lexiflow notifyd"},
	} {
		t.Run(name, func(t *testing.T) {
			o := s.try(t, c.args...)
			if o.code != c.code || !strings.Contains(o.remark, c.says) || o.out != "" {
				t.Errorf("%+v, want %d and %q", o, c.code, c.says)
			}
		})
	}
	bare.stop()
	s.stop()
}
