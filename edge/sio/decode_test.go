package sio

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// feed gives the decoder messages as a transport would: those that begin with "b:" are binary.
func feed(d *Decoder, l Limits, messages ...string) (p Packet, complete bool, err error) {
	for i, m := range messages {
		if data, binary := strings.CutPrefix(m, "b:"); binary {
			p, complete, err = d.Binary([]byte(data), l)
		} else {
			p, complete, err = d.Text([]byte(m), l)
		}
		if err != nil || (complete && i < len(messages)-1) {
			return p, complete && err == nil, err
		}
	}
	return p, complete, err
}

func TestDecode(t *testing.T) {
	raw := func(s string) []byte { return []byte(s) }
	tests := map[string]struct {
		in   []string
		want Packet
	}{
		"connect":                        {[]string{`0`}, Packet{Type: Connect, Namespace: "/"}},
		"connect with auth":              {[]string{`0{"token":"t"}`}, Packet{Type: Connect, Namespace: "/", Data: raw(`{"token":"t"}`)}},
		"connect to a namespace":         {[]string{`0/admin,`}, Packet{Type: Connect, Namespace: "/admin"}},
		"connect without the comma":      {[]string{`0/admin`}, Packet{Type: Connect, Namespace: "/admin"}},
		"connect keeps the query":        {[]string{`0/admin?a=b,{"c":1}`}, Packet{Type: Connect, Namespace: "/admin?a=b", Data: raw(`{"c":1}`)}},
		"connect to an explicit root":    {[]string{`0/,{}`}, Packet{Type: Connect, Namespace: "/", Data: raw(`{}`)}},
		"connect answer":                 {[]string{`0/a,{"sid":"x"}`}, Packet{Type: Connect, Namespace: "/a", Data: raw(`{"sid":"x"}`)}},
		"namespace with a dash":          {[]string{`51-/a-b,["x"]`, "b:"}, Packet{Type: BinaryEvent, Namespace: "/a-b", Data: raw(`["x"]`), Attachments: [][]byte{{}}}},
		"disconnect":                     {[]string{`1`}, Packet{Type: Disconnect, Namespace: "/"}},
		"disconnect with comma":          {[]string{`1/a,`}, Packet{Type: Disconnect, Namespace: "/a"}},
		"disconnect without comma":       {[]string{`1/a`}, Packet{Type: Disconnect, Namespace: "/a"}},
		"event":                          {[]string{`2["x",1]`}, Packet{Type: Event, Namespace: "/", Data: raw(`["x",1]`)}},
		"event with id":                  {[]string{`2/a,12["x"]`}, Packet{Type: Event, Namespace: "/a", HasID: true, ID: 12, Data: raw(`["x"]`)}},
		"event with id 0":                {[]string{`20["x"]`}, Packet{Type: Event, Namespace: "/", HasID: true, Data: raw(`["x"]`)}},
		"event with the largest id":      {[]string{`29007199254740991["x"]`}, Packet{Type: Event, Namespace: "/", HasID: true, ID: 1<<53 - 1, Data: raw(`["x"]`)}},
		"event named by a number":        {[]string{`2[7,"x"]`}, Packet{Type: Event, Namespace: "/", Data: raw(`[7,"x"]`)}},
		"event named by nothing":         {[]string{`2[""]`}, Packet{Type: Event, Namespace: "/", Data: raw(`[""]`)}},
		"event with space around":        {[]string{"2 \n[ \"x\" , 1 ]\t"}, Packet{Type: Event, Namespace: "/", Data: raw(`[ "x" , 1 ]`)}},
		"reserved in another case":       {[]string{`2["Connect"]`}, Packet{Type: Event, Namespace: "/", Data: raw(`["Connect"]`)}},
		"placeholder in a plain event":   {[]string{`2["x",{"_placeholder":true,"num":7}]`}, Packet{Type: Event, Namespace: "/", Data: raw(`["x",{"_placeholder":true,"num":7}]`)}},
		"placeholder in a plain ack":     {[]string{`31[{"_placeholder":true}]`}, Packet{Type: Ack, Namespace: "/", HasID: true, ID: 1, Data: raw(`[{"_placeholder":true}]`)}},
		"ack":                            {[]string{`3/a,12[]`}, Packet{Type: Ack, Namespace: "/a", HasID: true, ID: 12, Data: raw(`[]`)}},
		"ack with a reserved name":       {[]string{`31["connect"]`}, Packet{Type: Ack, Namespace: "/", HasID: true, ID: 1, Data: raw(`["connect"]`)}},
		"connect error":                  {[]string{`4/a,{"message":"no"}`}, Packet{Type: ConnectError, Namespace: "/a", Data: raw(`{"message":"no"}`)}},
		"no placeholder for attachment":  {[]string{`51-["x"]`, "b:1"}, Packet{Type: BinaryEvent, Namespace: "/", Data: raw(`["x"]`), Attachments: [][]byte{raw("1")}}},
		"attachment used twice":          {[]string{`51-["x",{"_placeholder":true,"num":0},{"num":0,"_placeholder":true}]`, "b:1"}, Packet{Type: BinaryEvent, Namespace: "/", Data: raw(`["x",{"_placeholder":true,"num":0},{"num":0,"_placeholder":true}]`), Attachments: [][]byte{raw("1")}}},
		"not quite a placeholder":        {[]string{`51-["x",{"_placeholder":1,"num":9},{"num":9},{"a":{"_placeholder":true,"num":0},"num":9}]`, "b:1"}, Packet{Type: BinaryEvent, Namespace: "/", Data: raw(`["x",{"_placeholder":1,"num":9},{"num":9},{"a":{"_placeholder":true,"num":0},"num":9}]`), Attachments: [][]byte{raw("1")}}},
		"binary event of the document":   {[]string{`52-/a,7["e",{"_placeholder":true,"num":0},{"k":{"_placeholder":true,"num":1}}]`, "b:AB", "b:C"}, Packet{Type: BinaryEvent, Namespace: "/a", HasID: true, ID: 7, Data: raw(`["e",{"_placeholder":true,"num":0},{"k":{"_placeholder":true,"num":1}}]`), Attachments: [][]byte{raw("AB"), raw("C")}}},
		"binary ack":                     {[]string{`61-9[{"_placeholder":true,"num":0}]`, "b:x"}, Packet{Type: BinaryAck, Namespace: "/", HasID: true, ID: 9, Data: raw(`[{"_placeholder":true,"num":0}]`), Attachments: [][]byte{raw("x")}}},
		"as many attachments as allowed": {append([]string{`510-["x"]`}, slices.Repeat([]string{"b:"}, 10)...), Packet{Type: BinaryEvent, Namespace: "/", Data: raw(`["x"]`), Attachments: make([][]byte, 10)}},
		"as deep as allowed":             {[]string{`2["x",` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `]`}, Packet{Type: Event, Namespace: "/", Data: raw(`["x",` + strings.Repeat("[", 127) + strings.Repeat("]", 127) + `]`)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			got, complete, err := feed(&d, Limits{}, tt.in...)
			if err != nil || !complete {
				t.Fatalf("complete %v, error %v", complete, err)
			}
			if !equalPackets(got, tt.want) {
				t.Errorf("got  %+v\nwant %+v", got, tt.want)
			}
			if d.Pending() {
				t.Error("the decoder still waits for something")
			}
		})
	}
}

func equalPackets(a, b Packet) bool {
	if len(a.Attachments) != len(b.Attachments) || (a.Data == nil) != (b.Data == nil) || !bytes.Equal(a.Data, b.Data) {
		return false
	}
	for i := range a.Attachments {
		if !bytes.Equal(a.Attachments[i], b.Attachments[i]) {
			return false
		}
	}
	a.Data, b.Data, a.Attachments, b.Attachments = nil, nil, nil, nil
	return reflect.DeepEqual(a, b)
}

// TestDecodeRefuses has a row for each class of malformed input in socketio-protocol 8, and for the holes
// that the original parser had over the years.
func TestDecodeRefuses(t *testing.T) {
	tests := map[string]struct {
		in   []string
		want Error
	}{
		"nothing":                  {[]string{""}, ErrPacketType},
		"a letter":                 {[]string{"a"}, ErrPacketType},
		"type 7":                   {[]string{`7["x"]`}, ErrPacketType},
		"only a namespace":         {[]string{`/a,["x"]`}, ErrPacketType},
		"event without payload":    {[]string{`2`}, ErrPayload},
		"namespace, no payload":    {[]string{`2/a,`}, ErrPayload},
		"namespace alone":          {[]string{`2/a`}, ErrPayload},
		"id, no payload":           {[]string{`212`}, ErrPayload},
		"space as payload":         {[]string{`0 `}, ErrJSON},
		"comma without namespace":  {[]string{`2,["x"]`}, ErrPayload},
		"namespace that is binary": {[]string{"0/\xff,"}, ErrNamespace},

		"connect null":    {[]string{`0null`}, ErrPayload},
		"connect string":  {[]string{`0"x"`}, ErrPayload},
		"connect array":   {[]string{`0[]`}, ErrPayload},
		"connect number":  {[]string{`0/a,1`}, ErrAckID},
		"connect with id": {[]string{`07{}`}, ErrAckID},
		"connect broken":  {[]string{`0{"token"`}, ErrJSON},

		"disconnect with payload": {[]string{`1{}`}, ErrPayload},
		"disconnect with id":      {[]string{`1/a,7`}, ErrAckID},

		"event object":           {[]string{`2{"toString":"x"}`}, ErrPayload},
		"event string":           {[]string{`2"x"`}, ErrPayload},
		"event null":             {[]string{`2null`}, ErrPayload},
		"event empty":            {[]string{`2[]`}, ErrPayload},
		"event named null":       {[]string{`2[null]`}, ErrEventName},
		"event named true":       {[]string{`2[true,"x"]`}, ErrEventName},
		"event named object":     {[]string{`2[{"toString":"foo"}]`}, ErrEventName},
		"event named array":      {[]string{`2[["x"]]`}, ErrEventName},
		"event cut off":          {[]string{`2["x"`}, ErrJSON},
		"event with more behind": {[]string{`2["x"]]`}, ErrJSON},
		"two payloads":           {[]string{`2["x"]["y"]`}, ErrJSON},
		"single quotes":          {[]string{`2['x']`}, ErrJSON},
		"trailing comma":         {[]string{`2["x",]`}, ErrJSON},
		"missing comma":          {[]string{`2["x" 1]`}, ErrJSON},
		"NaN":                    {[]string{`2["x",NaN]`}, ErrJSON},
		"leading zero":           {[]string{`2["x",01]`}, ErrJSON},
		"raw control character":  {[]string{"2[\"x\x1e\"]"}, ErrJSON},
		"string not UTF-8":       {[]string{"2[\"x\",\"\xff\"]"}, ErrJSON},
		"surrogate in UTF-8":     {[]string{"2[\"x\",\"\xed\xa0\x80\"]"}, ErrJSON},
		"byte order mark":        {[]string{"2\ufeff[\"x\"]"}, ErrPayload},

		"connect is reserved":         {[]string{`2["connect"]`}, ErrReservedEvent},
		"connect_error is reserved":   {[]string{`2["connect_error",1]`}, ErrReservedEvent},
		"disconnect is reserved":      {[]string{`2/a,1["disconnect"]`}, ErrReservedEvent},
		"disconnecting is reserved":   {[]string{`2["disconnecting"]`}, ErrReservedEvent},
		"newListener is reserved":     {[]string{`2["newListener"]`}, ErrReservedEvent},
		"removeListener is reserved":  {[]string{`51-["removeListener"]`}, ErrReservedEvent},
		"reserved behind an escape":   {[]string{`2["\u0063onnect"]`}, ErrReservedEvent},
		"reserved behind all escapes": {[]string{`2["\u0064\u0069\u0073\u0063\u006f\u006E\u006e\u0065\u0063\u0074"]`}, ErrReservedEvent},

		"ack without id":    {[]string{`3[]`}, ErrAckID},
		"ack object":        {[]string{`31{}`}, ErrPayload},
		"ack nothing":       {[]string{`31`}, ErrPayload},
		"id 2^53":           {[]string{`29007199254740992["x"]`}, ErrAckID},
		"id of 40 digits":   {[]string{`2` + strings.Repeat("9", 40) + `["x"]`}, ErrAckID},
		"id with zeros":     {[]string{`207["x"]`}, ErrAckID},
		"id of many zeros":  {[]string{`2` + strings.Repeat("0", 9999) + `["x"]`}, ErrAckID},
		"negative id":       {[]string{`2-1["x"]`}, ErrPayload},
		"fraction as id":    {[]string{`21.5["x"]`}, ErrPayload},
		"error as a string": {[]string{`4"no"`}, ErrPayload},
		"error, no payload": {[]string{`4/a,`}, ErrPayload},

		"no count":             {[]string{`5["x"]`}, ErrAttachments},
		"dash without count":   {[]string{`5-["x"]`}, ErrAttachments},
		"count without dash":   {[]string{`51["x"]`}, ErrAttachments},
		"count and nothing":    {[]string{`51`}, ErrAttachments},
		"count and dash":       {[]string{`51-`}, ErrPayload},
		"count 0":              {[]string{`50-["x"]`}, ErrAttachments},
		"count 0 on an ack":    {[]string{`60-1[]`}, ErrAttachments},
		"count 01":             {[]string{`501-["x"]`}, ErrAttachments},
		"count -1":             {[]string{`5-1-["x"]`}, ErrAttachments},
		"count 1.5":            {[]string{`51.5-["x"]`}, ErrAttachments},
		"count 1e9":            {[]string{`51e9-["x"]`}, ErrAttachments},
		"count with space":     {[]string{`5 1-["x"]`}, ErrAttachments},
		"count hello":          {[]string{`5hello-["x"]`}, ErrAttachments},
		"count above limit":    {[]string{`511-["x"]`}, ErrAttachments},
		"count 999999999":      {[]string{`5999999999-["x"]`}, ErrAttachments},
		"count beyond int64":   {[]string{`5` + strings.Repeat("9", 30) + `-["x"]`}, ErrAttachments},
		"count on an event":    {[]string{`21-["x"]`}, ErrPayload},
		"binary event, object": {[]string{`51-{}`}, ErrPayload},
		"binary ack, no id":    {[]string{`61-[]`}, ErrAckID},

		"num missing":            {[]string{`51-["x",{"_placeholder":true}]`}, ErrPlaceholder},
		"num a string":           {[]string{`51-["x",{"_placeholder":true,"num":"0"}]`}, ErrPlaceholder},
		"num a method":           {[]string{`51-["x",{"_placeholder":true,"num":"splice"}]`}, ErrPlaceholder},
		"num null":               {[]string{`51-["x",{"_placeholder":true,"num":null}]`}, ErrPlaceholder},
		"num true":               {[]string{`51-["x",{"_placeholder":true,"num":true}]`}, ErrPlaceholder},
		"num an object":          {[]string{`51-["x",{"_placeholder":true,"num":{}}]`}, ErrPlaceholder},
		"num an array":           {[]string{`51-["x",{"_placeholder":true,"num":[0]}]`}, ErrPlaceholder},
		"num negative":           {[]string{`51-["x",{"_placeholder":true,"num":-1}]`}, ErrPlaceholder},
		"num minus zero":         {[]string{`51-["x",{"_placeholder":true,"num":-0}]`}, ErrPlaceholder},
		"num a fraction":         {[]string{`51-["x",{"_placeholder":true,"num":0.5}]`}, ErrPlaceholder},
		"num out of range":       {[]string{`51-["x",{"_placeholder":true,"num":1}]`}, ErrPlaceholder},
		"num enormous":           {[]string{`51-["x",{"_placeholder":true,"num":18446744073709551616}]`}, ErrPlaceholder},
		"num first":              {[]string{`51-["x",{"num":1,"_placeholder":true}]`}, ErrPlaceholder},
		"num twice":              {[]string{`51-["x",{"num":0,"_placeholder":true,"num":1}]`}, ErrPlaceholder},
		"mark twice":             {[]string{`51-["x",{"_placeholder":true,"num":1,"_placeholder":false}]`}, ErrPlaceholder},
		"mark escaped":           {[]string{`51-["x",{"\u005fplaceholder":true,"num":1}]`}, ErrPlaceholder},
		"num escaped":            {[]string{`51-["x",{"_placeholder":true,"n\u0075m":1}]`}, ErrPlaceholder},
		"placeholder deep down":  {[]string{`51-["x",[{"a":[1,{"b":{"_placeholder":true,"num":1}}]}]]`}, ErrPlaceholder},
		"placeholder behind one": {[]string{`51-["x",{"_placeholder":true,"num":0},{"_placeholder":true,"num":2}]`}, ErrPlaceholder},
		"placeholder in itself":  {[]string{`51-["x",{"_placeholder":true,"num":0,"a":{"_placeholder":true}}]`}, ErrPlaceholder},
		"in an ack":              {[]string{`61-1[{"_placeholder":true,"num":1}]`}, ErrPlaceholder},

		"binary first":                {[]string{"b:x"}, ErrUnexpectedBinary},
		"text instead of attachment":  {[]string{`51-["x"]`, `2["y"]`}, ErrUnexpectedText},
		"header instead of attach.":   {[]string{`51-["x"]`, `51-["y"]`}, ErrUnexpectedText},
		"connect between attachments": {[]string{`52-["x"]`, "b:1", `0`}, ErrUnexpectedText},

		"one level too deep": {[]string{`2["x",` + strings.Repeat("[", 128) + strings.Repeat("]", 128) + `]`}, ErrDepth},
		"a million arrays":   {[]string{`2["x",` + strings.Repeat("[", 1<<20-10)}, ErrDepth},
		"objects for ever":   {[]string{`2["x",` + strings.Repeat(`{"a":`, 1e5)}, ErrDepth},
		"deep connect":       {[]string{`0{"a":` + strings.Repeat("[", 200)}, ErrDepth},
		"too large":          {[]string{`2["` + strings.Repeat("x", 1<<20) + `"]`}, ErrTooLarge},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			p, complete, err := feed(&d, Limits{}, tt.in...)
			if !errors.Is(err, tt.want) {
				t.Fatalf("got %+v, %v, %v; want %v", p, complete, err, tt.want)
			}
			if complete || d.Pending() {
				t.Error("an error left something behind")
			}
		})
	}
}

func TestDecodeAfterCompletion(t *testing.T) {
	var d Decoder
	if _, complete, err := feed(&d, Limits{}, `51-["x"]`, "b:1"); err != nil || !complete {
		t.Fatal(complete, err)
	}
	if _, _, err := d.Binary([]byte("2"), Limits{}); !errors.Is(err, ErrUnexpectedBinary) {
		t.Errorf("one attachment too many: %v", err)
	}
	if _, complete, err := feed(&d, Limits{}, `2["y"]`); err != nil || !complete {
		t.Errorf("next packet: %v, %v", complete, err)
	}
}

func TestDecodeKeepsNothingOfTheBuffer(t *testing.T) {
	var d Decoder
	header := []byte(`52-/ns,["x",{"_placeholder":true,"num":0}]`)
	first := []byte("first")
	if _, _, err := d.Text(header, Limits{}); err != nil {
		t.Fatal(err)
	}
	clear(header)
	if _, _, err := d.Binary(first, Limits{}); err != nil {
		t.Fatal(err)
	}
	clear(first)
	p, complete, err := d.Binary([]byte("second"), Limits{})
	if err != nil || !complete {
		t.Fatal(complete, err)
	}
	got := fmt.Sprintf("%s %s %q", p.Namespace, p.Data, p.Attachments)
	if want := `/ns ["x",{"_placeholder":true,"num":0}] ["first" "second"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDecodeBoundsPendingBytes(t *testing.T) {
	tests := map[string]struct {
		limits Limits
		in     []string
		want   Error
	}{
		"fits":                        {Limits{MaxBytes: 200}, []string{`52-["x"]`, "b:" + strings.Repeat("a", 30), "b:" + strings.Repeat("a", 30)}, 0},
		"second is too much":          {Limits{MaxBytes: 200}, []string{`52-["x"]`, "b:" + strings.Repeat("a", 60), "b:" + strings.Repeat("a", 60)}, ErrTooLarge},
		"first is too much":           {Limits{MaxBytes: 200}, []string{`52-["x"]`, "b:" + strings.Repeat("a", 200)}, ErrTooLarge},
		"a flood of nothings":         {Limits{MaxBytes: 1000, MaxAttachments: 1e6}, append([]string{`51000-["x"]`}, slices.Repeat([]string{"b:"}, 1000)...), ErrTooLarge},
		"own attachment limit":        {Limits{MaxAttachments: 2}, []string{`53-["x"]`}, ErrAttachments},
		"own depth":                   {Limits{MaxDepth: 2}, []string{`2["x",[[]]]`}, ErrDepth},
		"depth beyond the hard limit": {Limits{MaxDepth: 1 << 30}, []string{`2["x",` + strings.Repeat("[", 1<<16)}, ErrDepth},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			_, complete, err := feed(&d, tt.limits, tt.in...)
			if tt.want == 0 {
				if err != nil || !complete {
					t.Fatal(complete, err)
				}
				return
			}
			if !errors.Is(err, tt.want) || d.Pending() {
				t.Errorf("got %v, %v (pending %v), want %v", complete, err, d.Pending(), tt.want)
			}
		})
	}
}

func TestEvent(t *testing.T) {
	tests := map[string]struct {
		in   string
		name string
		args []string
		err  error
	}{
		"no arguments":       {`2["x"]`, "x", nil, nil},
		"all kinds":          {`2["x" , {"a":[1,"]"]} ,[ ], "s,\"]",-1.5e3, true,false ,null ]`, "x", []string{`{"a":[1,"]"]}`, `[ ]`, `"s,\"]"`, `-1.5e3`, `true`, `false`, `null`}, nil},
		"escapes":            {`2["\u00e9\ud83d\ude00\n\"\\\/\b\f\r\t!"]`, "é😀\n\"\\/\b\f\r\t!", nil, nil},
		"half a pair":        {`2["\ud83d!\ude00\ud83d\u0041"]`, "\ufffd!\ufffd\ufffdA", nil, nil},
		"a number":           {`2[7]`, "", nil, ErrEventName},
		"not an event":       {`31["x"]`, "", nil, ErrEventName},
		"nested same braces": {`2["x",[[["]]"]]],{}]`, "x", []string{`[[["]]"]]]`, `{}`}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var d Decoder
			p, _, err := d.Text([]byte(tt.in), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			event, args, err := p.Event()
			if !errors.Is(err, tt.err) || event != tt.name || args.Len() != len(tt.args) {
				t.Fatalf("got %q with %d arguments, %v", event, args.Len(), err)
			}
			i := 0
			for raw, rest, ok := args.Next(); ok; raw, rest, ok = rest.Next() {
				if string(raw) != tt.args[i] {
					t.Errorf("argument %d is %s, want %s", i, raw, tt.args[i])
				}
				i++
			}
			if got, want := string(AppendArgs(nil, args)), "["+strings.Join(tt.args, ",")+"]"; tt.err == nil && got != want {
				t.Errorf("AppendArgs gives %s, want %s", got, want)
			}
		})
	}
}

func TestErrorsAreNamed(t *testing.T) {
	seen := map[string]bool{}
	for e := ErrEmptyPacket; e <= ErrTrailing; e++ {
		if e.Reason() == "" || e.Reason() == "unknown" || seen[e.Reason()] || !strings.HasPrefix(e.Error(), "sio: ") {
			t.Errorf("error %d has reason %q and text %q", e, e.Reason(), e.Error())
		}
		seen[e.Reason()] = true
	}
	if got := Error(255).Reason(); got != "unknown" {
		t.Errorf("reason of no error is %q", got)
	}
}
