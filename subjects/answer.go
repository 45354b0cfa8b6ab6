package subjects

import (
	"strings"

	"github.com/nats-io/nats.go"
)

// Answer returns the message that answers a request on cmd., hello. or svc. on behalf of a service: r or,
// if err is not nil or r cannot be written, the error's code and message. Whatever it refuses with is
// returned too, for logs and counters.
//
// Services publish it themselves, and not by the methods of a micro.Request: those note an error in the
// request, which the micro package reads as soon as the handler has returned, and handlers that hand over
// to a goroutine return before they answer.
func Answer(inbox, service string, r Reply, err error) (*nats.Msg, error) {
	var body []byte
	var header nats.Header
	if err == nil {
		body, header, err = r.Encode()
	}
	if err != nil {
		body, header = nil, nats.Header{HeaderErrorCode: {string(CodeOf(err))}, HeaderError: {oneLine(MessageOf(err))}}
	}
	header[HeaderService] = []string{service}
	return &nats.Msg{Subject: inbox, Header: header, Data: body}, err
}

// oneLine keeps a message, which may quote a request, in its header line.
func oneLine(text string) string {
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r <= ' ' }), " ")
}
