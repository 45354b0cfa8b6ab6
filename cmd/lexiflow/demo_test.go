package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/lexiflow/realtime/subjects/natsd"
	"github.com/lexiflow/realtime/subjects/natsd/natstest"
)

// liveDemo is the demo of this machine, on a bus of its own.
func liveDemo(t *testing.T) *demo {
	t.Helper()
	_, nc, _ := natstest.Bus(t, natsd.Options{Listen: "127.0.0.1:0"})
	d := localDemo
	d.nc = nc
	return &d
}

func post(d *demo, path, body string, header map[string]string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "http://127.0.0.1:3000"+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	for name, value := range header {
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	page(d, nil).ServeHTTP(w, r)
	return w
}

const uploaded = `{"kind":"case","id":"a.b","event":"document:uploaded","payload":{"documentId":"d1","fileName":"brief.pdf"}}`

// What the demo publishes is in the log and in what its page begins with; events of other cases are not.
func TestDemoPublishesAndReads(t *testing.T) {
	d := liveDemo(t)
	for _, body := range []string{uploaded, strings.Replace(uploaded, `"a.b"`, `"a"`, 1)} {
		if w := post(d, "/demo/events", body, nil); w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	}
	for path, want := range map[string]int{"/demo/cases/a.b": 1, "/demo/cases/none": 0} {
		w := get(d, path, nil)
		var answer struct{ Events []demoEvent }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
		if len(answer.Events) != want {
			t.Errorf("%s: %s", path, w.Body)
		}
		for _, e := range answer.Events {
			if e.Sequence != 1 || e.Event != "document:uploaded" || !strings.Contains(string(e.Payload), "brief.pdf") {
				t.Errorf("event %+v", e)
			}
		}
	}
}

// A long case begins with its newest events.
func TestDemoReadsTheNewest(t *testing.T) {
	d := liveDemo(t)
	js, err := jetstream.New(d.nc)
	if err != nil {
		t.Fatal(err)
	}
	const published = demoKept + 50
	for range published {
		if _, err := js.Publish(t.Context(), "lex.case.1.docket.entry.added", []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	events, err := d.read(t.Context(), "lex.case.1.>")
	if err != nil || len(events) != demoKept || events[0].Sequence != published-demoKept+1 || events[len(events)-1].Sequence != published {
		t.Errorf("%d events, %v", len(events), err)
	}
}

func TestDemoRefuses(t *testing.T) {
	d := liveDemo(t)
	public := *d
	public.local = false
	change := func(from, to string) string { return strings.Replace(uploaded, from, to, 1) }
	for name, c := range map[string]struct {
		demo   *demo
		path   string
		body   string
		header map[string]string
		want   int
	}{
		"as asked":           {d, "/demo/events", uploaded, nil, http.StatusOK},
		"the page itself":    {d, "/demo/events", uploaded, map[string]string{"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-origin"}, http.StatusOK},
		"undeclared":         {d, "/demo/events", change("document:uploaded", "invoice:sent"), nil, http.StatusBadRequest},
		"not of a case":      {d, "/demo/events", change("document:uploaded", "notification:new"), nil, http.StatusBadRequest},
		"a user's":           {d, "/demo/events", change("case", "user"), nil, http.StatusBadRequest},
		"no id":              {d, "/demo/events", change("a.b", ""), nil, http.StatusBadRequest},
		"of a wrong type":    {d, "/demo/events", change(`"brief.pdf"`, "7"), nil, http.StatusBadRequest},
		"no JSON":            {d, "/demo/events", "document", nil, http.StatusBadRequest},
		"no object":          {d, "/demo/events", change(`{"documentId":"d1","fileName":"brief.pdf"}`, "1"), nil, http.StatusBadRequest},
		"too large":          {d, "/demo/events", `{"kind":"` + strings.Repeat("x", demoBody) + `"}`, nil, http.StatusBadRequest},
		"a form":             {d, "/demo/events", uploaded, map[string]string{"Content-Type": "text/plain"}, http.StatusUnsupportedMediaType},
		"another origin":     {d, "/demo/events", uploaded, map[string]string{"Origin": "http://evil.example"}, http.StatusNotFound},
		"another site":       {d, "/demo/events", uploaded, map[string]string{"Sec-Fetch-Site": "cross-site"}, http.StatusNotFound},
		"a name rebound":     {d, "/demo/events", uploaded, map[string]string{"Host": "evil.example"}, http.StatusNotFound},
		"a public listener":  {&public, "/demo/events", uploaded, nil, http.StatusNotFound},
		"a stranger":         {d, "/demo/notices", `{"userId":"eve","type":"comment_added","title":"x","message":"y"}`, nil, http.StatusBadRequest},
		"without notifyd":    {d, "/demo/notices", `{"userId":"ann","type":"comment_added","title":"x","message":"y"}`, nil, http.StatusBadGateway},
		"notices in public":  {&public, "/demo/notices", `{}`, nil, http.StatusNotFound},
		"a GET is no notice": {d, "/demo/nothing", `{}`, nil, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			if w := post(c.demo, c.path, c.body, c.header); w.Code != c.want {
				t.Errorf("%d %s, want %d", w.Code, w.Body, c.want)
			}
		})
	}
}

// Each answer has tokens of its own, which an edge with the same secret takes.
func TestDemoPeople(t *testing.T) {
	var answer struct{ People []demoPerson }
	if err := json.Unmarshal(get(&localDemo, "/demo.json", nil).Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	if len(answer.People) != len(demoPeople) {
		t.Fatalf("%+v", answer.People)
	}
	for _, p := range answer.People {
		if p.Name == "" || strings.Count(p.Token, ".") != 2 {
			t.Errorf("%+v", p)
		}
	}
	for _, p := range demoPeople {
		if p.Token != "" {
			t.Errorf("a token of %s is kept", p.ID)
		}
	}
}
