package edge

import (
	"strconv"

	"github.com/lexiflow/realtime/edge/sio"
	"github.com/lexiflow/realtime/subjects"
)

// What is encoded for every connection, some of it more than once, is put together here without reflection.
// A test fails when a field is missing.

// append appends the record as JSON.
func (r sessionRecord) append(b []byte) []byte {
	if b == nil {
		b = make([]byte, 0, 192+64*len(r.Rooms))
	}
	b = sio.AppendJSONString(append(b, `{"user":`...), r.User)
	b = sio.AppendJSONString(append(b, `,"namespace":`...), r.Namespace)
	b = sio.AppendJSONString(append(b, `,"sid":`...), r.SID)
	b = strconv.AppendUint(append(b, `,"start":`...), r.Start, 10)
	if r.Proved != 0 {
		b = strconv.AppendUint(append(b, `,"proved":`...), r.Proved, 10)
	}
	b = strconv.AppendInt(append(b, `,"since":`...), r.Since, 10)
	b = sio.AppendJSONString(append(b, `,"owner":`...), r.Owner)
	if r.Lost != 0 {
		b = strconv.AppendInt(append(b, `,"lost":`...), r.Lost, 10)
	}
	if r.Evicted {
		b = append(b, `,"evicted":true`...)
	}
	if r.Unproved {
		b = append(b, `,"unproved":true`...)
	}
	b = append(b, `,"rooms":[`...)
	for i, in := range r.Rooms {
		if i > 0 {
			b = append(b, ',')
		}
		b = sio.AppendJSONString(append(b, `{"room":`...), in.Room)
		b = strconv.AppendUint(append(b, `,"joined":`...), in.Joined, 10)
		if in.Service {
			b = append(b, `,"service":true`...)
		}
		b = append(b, '}')
	}
	return append(b, ']', '}')
}

// appendConnected appends the payload of `connected` as JSON.
func appendConnected(b []byte, e *subjects.ConnectionEvent) []byte {
	if b == nil {
		b = make([]byte, 0, 320)
	}
	b = append(b, '{')
	if e.Message != "" {
		b = append(sio.AppendJSONString(append(b, `"message":`...), e.Message), ',')
	}
	b = sio.AppendJSONString(append(b, `"userId":`...), e.UserID)
	b = sio.AppendJSONString(append(b, `,"socketId":`...), e.SocketID)
	b = sio.AppendJSONString(append(b, `,"namespace":`...), e.Namespace)
	b = strconv.AppendBool(append(b, `,"recovered":`...), e.Recovered)
	if e.From != 0 {
		b = strconv.AppendUint(append(b, `,"from":`...), e.From, 10)
	}
	b = strconv.AppendUint(append(b, `,"to":`...), e.To, 10)
	b = strconv.AppendInt(append(b, `,"missed":`...), int64(e.Missed), 10)
	b = append(b, `,"timestamp":"`...)
	b = e.Timestamp.UTC().AppendFormat(b, isoLayout)
	return append(b, '"', '}')
}
