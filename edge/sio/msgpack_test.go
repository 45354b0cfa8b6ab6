package sio

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// goldenPacket is one packet as both official parsers write it; see edge/e2e/lib/golden.mjs.
type goldenPacket struct {
	Name        string
	Msgpack     string
	JSON        string
	Attachments []string
	Exact       bool // JSON alone leads to the same MessagePack
}

func goldenPackets(t testing.TB) (packets []goldenPacket) {
	t.Helper()
	file, err := os.ReadFile("testdata/msgpack.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(file, &packets); err != nil {
		t.Fatal(err)
	}
	return packets
}

func unhexed(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMsgpackMeansWhatJSONMeans reads what the official encoders made of the same packets.
func TestMsgpackMeansWhatJSONMeans(t *testing.T) {
	for _, g := range goldenPackets(t) {
		t.Run(g.Name, func(t *testing.T) {
			got, err := DecodeMsgpack(unhexed(t, g.Msgpack), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			messages := []string{g.JSON}
			for _, a := range g.Attachments {
				messages = append(messages, "b:"+string(unhexed(t, a)))
			}
			want, complete, err := feed(&Decoder{}, Limits{}, messages...)
			if err != nil || !complete {
				t.Fatalf("%s: %v", g.JSON, err)
			}
			if !sameJSON(t, got.Data, want.Data) {
				t.Errorf("data\n got %s\nwant %s", got.Data, want.Data)
			}
			got.Data, want.Data = nil, nil
			if !equalPackets(got, want) {
				t.Errorf("\n got %+v\nwant %+v", got, want)
			}
		})
	}
}

// TestMsgpackIsWhatTheOfficialEncoderWrites compares bytes.
func TestMsgpackIsWhatTheOfficialEncoderWrites(t *testing.T) {
	for _, g := range goldenPackets(t) {
		if !g.Exact {
			continue
		}
		t.Run(g.Name, func(t *testing.T) {
			p, _, err := (&Decoder{}).Text([]byte(g.JSON), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			if got := hex.EncodeToString(AppendMsgpack(nil, p)); got != g.Msgpack {
				t.Errorf("\n got %s\nwant %s", got, g.Msgpack)
			}
		})
	}
}

func sameJSON(t testing.TB, a, b []byte) bool {
	t.Helper()
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		t.Fatalf("%s: %v", a, err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	return reflect.DeepEqual(x, y)
}

// asEvent puts the bytes of one value, in hexadecimal, into an event.
func asEvent(value string) string {
	return "83 a474797065 02 a36e7370 a12f a464617461 92 a178 " + value
}

func TestMsgpackValues(t *testing.T) {
	tests := map[string]struct{ value, want string }{
		"nil":                     {"c0", `null`},
		"float32":                 {"ca 3fc00000", `1.5`},
		"float32 keeps its value": {"ca 3dcccccd", `0.10000000149011612`},
		"float32 NaN":             {"ca 7fc00000", `null`},
		"float, integral":         {"cb 4059000000000000", `100`},
		"float, minus zero":       {"cb 8000000000000000", `0`},
		"float, large":            {"cb 44b52d02c7e14af6", `1e+23`},
		"float, small":            {"cb 3e45798ee2308c3a", `1e-08`},
		"int8, not negative":      {"d0 05", `5`},
		"int16, wider than need":  {"d1 fffe", `-2`},
		"int64, least":            {"d3 8000000000000000", `-9223372036854775808`},
		"uint64, largest":         {"cf ffffffffffffffff", `18446744073709551615`},
		"str32, short":            {"db 00000001 61", `"a"`},
		"array32, empty":          {"dd 00000000", `[]`},
		"map32, one":              {"df 00000001 a161 01", `{"a":1}`},
		"a key twice":             {"82 a161 01 a161 02", `{"a":1,"a":2}`},
		"undefined alone in it":   {"81 a161 d40000", `{}`},
		"a date beyond dates":     {"d7 00 7fffffffffffffff", `null`},
		"a date below dates":      {"d7 00 8000000000000000", `null`},
		"a placeholder":           {"82 ac5f706c616365686f6c646572 c3 a36e756d 07", `{"_placeholder":true,"num":7}`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := DecodeMsgpack(unhexed(t, asEvent(tt.value)), Limits{})
			if want := `["x",` + tt.want + `]`; err != nil || string(p.Data) != want || p.Type != Event {
				t.Errorf("got %s %v, want %s", p.Data, err, want)
			}
		})
	}
}

// placeholder7 is {"_placeholder":true,"num":7}.
const placeholder7 = "82 ac5f706c616365686f6c646572 c3 a36e756d 07"

func TestMsgpackRefuses(t *testing.T) {
	const typ, nsp, data, id = "a474797065", "a36e7370", "a464617461", "a26964"
	tests := map[string]struct {
		in   string
		want Error
	}{
		"nothing":                        {"", ErrTruncated},
		"no map":                         {"92 00 00", ErrPacketMap},
		"a string":                       {"a13b", ErrPacketMap},
		"text":                           {hex.EncodeToString([]byte(`0{"token":"t"}`)), ErrPacketMap},
		"an empty map":                   {"80", ErrPacketType},
		"no type":                        {"81" + nsp + "a12f", ErrPacketType},
		"type 5":                         {"82" + typ + "05" + nsp + "a12f", ErrPacketType},
		"type 6":                         {"82" + typ + "06" + nsp + "a12f", ErrPacketType},
		"a negative type":                {"82" + typ + "ff" + nsp + "a12f", ErrPacketType},
		"a type of 258":                  {"82" + typ + "cd0102" + nsp + "a12f", ErrPacketType},
		"a float as type":                {"82" + typ + "cb0000000000000000" + nsp + "a12f", ErrPacketType},
		"nil as type":                    {"82" + typ + "c0" + nsp + "a12f", ErrPacketType},
		"no namespace":                   {"81" + typ + "00", ErrNamespace},
		"nil as namespace":               {"82" + typ + "00" + nsp + "c0", ErrNamespace},
		"an empty namespace":             {"82" + typ + "00" + nsp + "a0", ErrNamespace},
		"a namespace without slash":      {"82" + typ + "00" + nsp + "a161", ErrNamespace},
		"a namespace with a comma":       {"82" + typ + "00" + nsp + "a32f612c", ErrNamespace},
		"a namespace of binary":          {"82" + typ + "00" + nsp + "c4012f", ErrNamespace},
		"a namespace that is not UTF-8":  {"82" + typ + "00" + nsp + "a22fff", ErrUTF8},
		"type twice":                     {"83" + typ + "00" + nsp + "a12f" + typ + "00", ErrMsgpackKey},
		"data twice, once undefined":     {"84" + typ + "00" + nsp + "a12f" + data + "d40000" + data + "80", ErrMsgpackKey},
		"a number as key of the packet":  {"81 00 00", ErrMsgpackKey},
		"nil as id":                      {"84" + typ + "02" + nsp + "a12f" + data + "91a178" + id + "c0", ErrAckID},
		"a negative id":                  {"84" + typ + "02" + nsp + "a12f" + data + "91a178" + id + "ff", ErrAckID},
		"an id of 2^53":                  {"84" + typ + "02" + nsp + "a12f" + data + "91a178" + id + "cf0020000000000000", ErrAckID},
		"a float as id":                  {"84" + typ + "02" + nsp + "a12f" + data + "91a178" + id + "cb3ff0000000000000", ErrAckID},
		"an ack without id":              {"83" + typ + "03" + nsp + "a12f" + data + "90", ErrAckID},
		"a connect with id":              {"83" + typ + "00" + nsp + "a12f" + id + "01", ErrAckID},
		"connect with nil":               {"83" + typ + "00" + nsp + "a12f" + data + "c0", ErrPayload},
		"connect with an array":          {"83" + typ + "00" + nsp + "a12f" + data + "90", ErrPayload},
		"connect with binary":            {"83" + typ + "00" + nsp + "a12f" + data + "81a161c400", ErrPayload},
		"disconnect with data":           {"83" + typ + "01" + nsp + "a12f" + data + "80", ErrPayload},
		"disconnect with nil":            {"83" + typ + "01" + nsp + "a12f" + data + "c0", ErrPayload},
		"connect error with a string":    {"83" + typ + "04" + nsp + "a12f" + data + "a161", ErrPayload},
		"event without data":             {"82" + typ + "02" + nsp + "a12f", ErrPayload},
		"event with undefined":           {"83" + typ + "02" + nsp + "a12f" + data + "d40000", ErrPayload},
		"event with a map":               {"83" + typ + "02" + nsp + "a12f" + data + "80", ErrPayload},
		"event with an empty array":      {"83" + typ + "02" + nsp + "a12f" + data + "90", ErrPayload},
		"event that is binary":           {"83" + typ + "02" + nsp + "a12f" + data + "c403000000", ErrPayload},
		"event named by nil":             {"83" + typ + "02" + nsp + "a12f" + data + "91c0", ErrEventName},
		"event named by binary":          {"83" + typ + "02" + nsp + "a12f" + data + "91c40178", ErrEventName},
		"reserved name":                  {"83" + typ + "02" + nsp + "a12f" + data + "91a7636f6e6e656374", ErrReservedEvent},
		"trailing byte":                  {asEvent("01") + "00", ErrTrailing},
		"trailing nil":                   {"82" + typ + "01" + nsp + "a12f c0", ErrTrailing},
		"the byte c1":                    {asEvent("c1"), ErrMsgpackType},
		"an unknown extension":           {asEvent("d40100"), ErrMsgpackType},
		"a fixext 2":                     {asEvent("d5000000"), ErrMsgpackType},
		"a fixext 4":                     {asEvent("d6ff00000000"), ErrMsgpackType},
		"a fixext 16":                    {asEvent("d800" + strings.Repeat("00", 16)), ErrMsgpackType},
		"a timestamp of MessagePack":     {asEvent("d7ff0000000000000000"), ErrMsgpackType},
		"an ext 8 of another type":       {asEvent("c7010100"), ErrMsgpackType},
		"undefined of another byte":      {asEvent("d40001"), ErrMsgpackType},
		"a number as key":                {asEvent("81 01 01"), ErrMsgpackKey},
		"nil as key":                     {asEvent("81 c0 01"), ErrMsgpackKey},
		"binary as key":                  {asEvent("81 c40161 01"), ErrMsgpackKey},
		"a map as key":                   {asEvent("81 80 01"), ErrMsgpackKey},
		"a number as key, of undefined":  {asEvent("81 01 d40000"), ErrMsgpackKey},
		"a key that is not UTF-8":        {asEvent("81 a1ff 01"), ErrUTF8},
		"a string that is not UTF-8":     {asEvent("a1ff"), ErrUTF8},
		"half a surrogate pair":          {asEvent("a3eda080"), ErrUTF8},
		"a string cut short":             {asEvent("a5616263"), ErrTruncated},
		"a str8 cut in its length":       {asEvent("d9"), ErrTruncated},
		"a str32 of 4 GiB":               {asEvent("dbffffffff61"), ErrTruncated},
		"a bin32 of 4 GiB":               {asEvent("c6ffffffff61"), ErrTruncated},
		"an ext32 of 4 GiB":              {asEvent("c9ffffffff0061"), ErrTruncated},
		"an array of 4 Gi":               {asEvent("ddffffffff01"), ErrTruncated},
		"an array of one too many":       {asEvent("92 01"), ErrTruncated},
		"a map of 4 Gi":                  {asEvent("dfffffffffa161"), ErrTruncated},
		"a map without the last value":   {asEvent("81 a161"), ErrTruncated},
		"a float cut short":              {asEvent("cb00000000"), ErrTruncated},
		"a date cut short":               {asEvent("d70000"), ErrTruncated},
		"the packet's map cut short":     {"8f" + typ + "02", ErrTruncated},
		"eleven attachments":             {asEvent("9b" + strings.Repeat("c400", 11)), ErrAttachments},
		"a placeholder beside binary":    {asEvent("92 c400" + placeholder7), ErrPlaceholder},
		"an unknown key that is broken":  {"83" + typ + "01" + nsp + "a12f a178 c1", ErrMsgpackType},
		"an unknown key that is deep":    {"83" + typ + "01" + nsp + "a12f a178" + strings.Repeat("91", 200) + "01", ErrDepth},
		"too deep":                       {asEvent(strings.Repeat("91", 128) + "01"), ErrDepth},
		"too deep, of maps":              {asEvent(strings.Repeat("81a161", 128) + "01"), ErrDepth},
		"a million levels":               {asEvent(strings.Repeat("91", 900_000) + "01"), ErrDepth},
		"more JSON than the limit":       {asEvent("dd00030d40" + strings.Repeat("c2", 200_000)), ErrTooLarge},
		"more than the limit":            {asEvent("db00100000" + strings.Repeat("61", 1<<20)), ErrTooLarge},
		"a string of control characters": {asEvent("db00030d40" + strings.Repeat("00", 200_000)), ErrTooLarge},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			p, err := DecodeMsgpack(unhexed(t, tt.in), Limits{})
			if err != tt.want { //nolint:errorlint // the contract is this very value
				t.Errorf("got %+v %v, want %v", p, err, tt.want)
			}
		})
	}
}

// TestMsgpackCutAnywhere cuts every official packet at every place.
func TestMsgpackCutAnywhere(t *testing.T) {
	for _, g := range goldenPackets(t) {
		whole := unhexed(t, g.Msgpack)
		for n := range min(len(whole), 300) {
			if p, err := DecodeMsgpack(whole[:n:n], Limits{}); err == nil {
				t.Fatalf("%s cut at %d became %+v", g.Name, n, p)
			}
		}
	}
}

func TestMsgpackDepthIsCountedAsInJSON(t *testing.T) {
	for _, depth := range []int{1, 2, 5, 128, 1024} {
		deepest := asEvent(strings.Repeat("91", depth-1) + "01")
		if depth == 1 {
			deepest = asEvent("01")
		}
		p, err := DecodeMsgpack(unhexed(t, deepest), Limits{MaxDepth: depth})
		if err != nil || !ValidJSON(p.Data, depth) || (depth > 1 && ValidJSON(p.Data, depth-1)) {
			t.Errorf("depth %d: %s %v", depth, p.Data, err)
		}
	}
}

func TestMsgpackBinary(t *testing.T) {
	msg := unhexed(t, asEvent("93 c40161 c702006263 01"))
	p, err := DecodeMsgpack(msg, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if p.Type != BinaryEvent || string(p.Data) != `["x",[{"_placeholder":true,"num":0},{"_placeholder":true,"num":1},1]]` {
		t.Errorf("%d %s", p.Type, p.Data)
	}
	if !slices.EqualFunc(p.Attachments, []string{"a", "bc"}, func(a []byte, b string) bool { return string(a) == b }) {
		t.Errorf("attachments %q", p.Attachments)
	}
}

func TestMsgpackKeepsNothingOfTheBuffer(t *testing.T) {
	msg := unhexed(t, "83 a474797065 02 a36e7370 a22f61 a464617461 92 a178 a3616263")
	p, err := DecodeMsgpack(msg, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	clear(msg)
	if p.Namespace != "/a" || string(p.Data) != `["x","abc"]` {
		t.Errorf("%q %s", p.Namespace, p.Data)
	}
}

// TestTranscode writes JSON that no official client would and reads it again.
func TestTranscode(t *testing.T) {
	wide := strings.Repeat(`[`+strings.Repeat(`{"a":0},`, 20), 100) + `1` + strings.Repeat(`]`, 100)
	tests := map[string]struct{ json, want string }{
		"space":                   {" [ 1 , { \"a\" : [ ] } ] ", `[1,{"a":[]}]`},
		"integers spelt oddly":    {`[1.0,1e2,-0,0e9,-1E+2,9007199254740993]`, `[1,100,0,0,-100,9007199254740992]`},
		"beyond the largest":      {`[1e400,-1e400]`, `[null,null]`},
		"escapes":                 {`["\u0061\/\ud83c\udfdb\u0000","\ud800","\udfdb\ud83c"]`, `["a/🏛\u0000","` + "\ufffd\",\"\ufffd\ufffd" + `"]`},
		"keys with escapes":       {`{"\u0061\n":1}`, `{"a\n":1}`},
		"half a pair before text": {`"\ud800x"`, "\"\ufffdx\""},
		"a key twice":             {`{"a":1,"a":2}`, `{"a":1,"a":2}`},
		"no JSON":                 {`[1,`, `null`},
		"two values":              {`[1] 2`, `null`},
		"not UTF-8":               {"[\"\xff\"]", `null`},
		"nothing":                 {``, `null`},
		"deep":                    {strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100), strings.Repeat(`[`, 100) + strings.Repeat(`]`, 100)},
		"too deep":                {strings.Repeat(`[`, 1025) + strings.Repeat(`]`, 1025), `null`},
		"wide at every level":     {strings.Repeat(`[`+strings.Repeat(`1,`, 20), 30) + `1` + strings.Repeat(`]`, 30), strings.Repeat(`[`+strings.Repeat(`1,`, 20), 30) + `1` + strings.Repeat(`]`, 30)},
		"wide and long":           {wide, wide},
		"70,000 elements":         {`[0` + strings.Repeat(`,0`, 69_999) + `]`, `[0` + strings.Repeat(`,0`, 69_999) + `]`},
		"a string of 70,000":      {`"` + strings.Repeat(`é`, 35_000) + `"`, `"` + strings.Repeat(`é`, 35_000) + `"`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			ack := MessagePack.AppendAck(nil, "/", 1, []byte(tt.json), []byte(`"next"`))
			p, err := DecodeMsgpack(ack, Limits{})
			if want := `[` + tt.want + `,"next"]`; err != nil || string(p.Data) != want {
				t.Errorf("%v\n got %.200s\nwant %.200s", err, p.Data, want)
			}
		})
	}
}

// TestForms has the encoders agree: what one form says, the other says too.
func TestForms(t *testing.T) {
	raw := func(s string) []byte { return []byte(s) }
	many := make([][]byte, 20)
	tests := map[string]func(f Form) []byte{
		"event":               func(f Form) []byte { return f.AppendEvent(nil, "/a", "x", raw(`{"b":2}`), raw(`"offset"`)) },
		"event, empty nsp":    func(f Form) []byte { return f.AppendEvent(nil, "", "x") },
		"event, no argument":  func(f Form) []byte { return f.AppendEvent(nil, "/", "x", nil, raw(`1`)) },
		"event, many":         func(f Form) []byte { return f.AppendEvent(nil, "/", "x", many...) },
		"ack":                 func(f Form) []byte { return f.AppendAck(nil, "/a", 1<<53-1, raw(`{"success":true}`)) },
		"ack, none":           func(f Form) []byte { return f.AppendAck(nil, "/a", 0) },
		"connect answer":      func(f Form) []byte { return f.AppendConnectSID(nil, "/a", "s", "") },
		"connect answer, pid": func(f Form) []byte { return f.AppendConnectSID(nil, "/", "s\"", "p") },
		"connect error":       func(f Form) []byte { return f.AppendConnectError(nil, "/a", "Invalid namespace", nil) },
		"connect error, data": func(f Form) []byte { return f.AppendConnectError(nil, "/a", "é\n", raw(`{"code":"X"}`)) },
		"disconnect":          func(f Form) []byte { return f.AppendDisconnect(nil, "/a") },
	}
	for name, encode := range tests {
		t.Run(name, func(t *testing.T) {
			want, _, err := (&Decoder{}).Text(encode(FormOf(false)), Limits{})
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeMsgpack(encode(FormOf(true)), Limits{})
			if err != nil || !equalPackets(got, want) || !bytes.Equal(got.Data, want.Data) {
				t.Errorf("%v\n got %+v\nwant %+v", err, got, want)
			}
		})
	}
}
