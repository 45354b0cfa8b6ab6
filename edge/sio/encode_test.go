package sio

import "testing"

func TestEncode(t *testing.T) {
	raw := func(s string) []byte { return []byte(s) }
	tests := map[string]struct{ got, want string }{
		"event":                 {string(AppendEvent(nil, "/", "x")), `2["x"]`},
		"event, empty nsp":      {string(AppendEvent(nil, "", "x")), `2["x"]`},
		"event in a namespace":  {string(AppendEvent(nil, "/a", "x", raw(`1`), raw(`{"b":2}`))), `2/a,["x",1,{"b":2}]`},
		"event, odd name":       {string(AppendEvent(nil, "/", "a\"\\\n\x01\x7f\u2028é\xff")), `2["a\"\\\n\u0001` + "\x7f\u2028é\ufffd" + `"]`},
		"event, no argument":    {string(AppendEvent(nil, "/", "x", nil, raw(``), raw(`1`))), `2["x",null,null,1]`},
		"event behind bytes":    {string(AppendEvent(raw(`4`), "/a", "x")), `42/a,["x"]`},
		"event with id":         {string(AppendEventID(nil, "/a", 12, "x", raw(`1`))), `2/a,12["x",1]`},
		"event with id 0":       {string(AppendEventID(nil, "/", 0, "x")), `20["x"]`},
		"ack":                   {string(AppendAck(nil, "/a", 7, raw(`{"success":true}`))), `3/a,7[{"success":true}]`},
		"ack, several":          {string(AppendAck(nil, "/", 1<<53-1, raw(`1`), nil, raw(`"x"`))), `39007199254740991[1,null,"x"]`},
		"ack, none":             {string(AppendAck(nil, "/", 7)), `37[]`},
		"connect":               {string(AppendConnect(nil, "/a", nil)), `0/a,`},
		"connect to root":       {string(AppendConnect(nil, "/", nil)), `0`},
		"connect with payload":  {string(AppendConnect(nil, "/a", raw(`{"token":"t"}`))), `0/a,{"token":"t"}`},
		"connect answer":        {string(AppendConnectSID(nil, "/a", "s", "")), `0/a,{"sid":"s"}`},
		"connect answer, pid":   {string(AppendConnectSID(nil, "/", "s", "p")), `0{"sid":"s","pid":"p"}`},
		"connect error":         {string(AppendConnectError(nil, "/a", "Invalid namespace", nil)), `4/a,{"message":"Invalid namespace"}`},
		"connect error, data":   {string(AppendConnectError(nil, "/", "no", raw(`{"code":"X"}`))), `4{"message":"no","data":{"code":"X"}}`},
		"disconnect":            {string(AppendDisconnect(nil, "/a")), `1/a,`},
		"disconnect from root":  {string(AppendDisconnect(nil, "/")), `1`},
		"packet, binary event":  {string(AppendPacket(nil, Packet{Type: BinaryEvent, Namespace: "/a", HasID: true, ID: 7, Data: raw(`["x"]`), Attachments: make([][]byte, 2)})), `52-/a,7["x"]`},
		"packet, binary ack":    {string(AppendPacket(nil, Packet{Type: BinaryAck, Namespace: "/", HasID: true, Data: raw(`[]`), Attachments: make([][]byte, 12)})), `612-0[]`},
		"packet, plain connect": {string(AppendPacket(nil, Packet{Type: Connect, Namespace: "/a"})), `0/a,`},
		"no arguments at all":   {string(AppendArgs(nil, Args{})), `[]`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if tt.got != tt.want {
				t.Errorf("got  %q\nwant %q", tt.got, tt.want)
			}
		})
	}
}
