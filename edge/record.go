package edge

import (
	"strconv"

	"github.com/lexiflow/realtime/edge/sio"
	"github.com/lexiflow/realtime/subjects"
)

// What is encoded for every connection, some of it more than once, is put together here without reflection.
// A test fails when a field is missing.

// encode is the record as JSON.
func (record sessionRecord) encode() []byte {
	b := make([]byte, 0, 192+64*len(record.Rooms))
	b = sio.AppendJSONString(append(b, `{"user":`...), record.User)
	b = sio.AppendJSONString(append(b, `,"namespace":`...), record.Namespace)
	b = sio.AppendJSONString(append(b, `,"sid":`...), record.SID)
	b = strconv.AppendUint(append(b, `,"start":`...), record.Start, 10)
	if record.Proved != 0 {
		b = strconv.AppendUint(append(b, `,"proved":`...), record.Proved, 10)
	}
	b = strconv.AppendInt(append(b, `,"since":`...), record.Since, 10)
	b = sio.AppendJSONString(append(b, `,"owner":`...), record.Owner)
	if record.Lost != 0 {
		b = strconv.AppendInt(append(b, `,"lost":`...), record.Lost, 10)
	}
	if record.Evicted {
		b = append(b, `,"evicted":true`...)
	}
	if record.Unproved {
		b = append(b, `,"unproved":true`...)
	}
	b = append(b, `,"rooms":[`...)
	for i, in := range record.Rooms {
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

// encodeConnected is the payload of `connected` as JSON.
func encodeConnected(e *subjects.ConnectionEvent) []byte {
	b := append(make([]byte, 0, 320), '{')
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
