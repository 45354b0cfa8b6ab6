package subjects

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// maxDeadPayload is what a dead letter keeps of its payload, in bytes: enough to
// recognise it, little enough that a flood of them fills no disk.
const maxDeadPayload = 64 << 10

// DeadLetter puts a message that cannot be processed into the stream DEADLETTER,
// under deadletter.<reason>, where the reason is one token ("not-an-object").
//
// The letter carries the subject it came on, its size, and where it stood in its
// stream; its payload is cut at 64 KiB. Several processes that reject the same
// message of a stream leave one letter. The original's own headers are not kept:
// some of them steer JetStream.
func DeadLetter(ctx context.Context, js jetstream.JetStream, reason string, original *nats.Msg) error {
	origin := ""
	if meta, err := original.Metadata(); err == nil {
		origin = fmt.Sprintf("%s.%d", meta.Stream, meta.Sequence.Stream)
	}
	return DeadLetterFrom(ctx, js, reason, original, origin)
}

// DeadLetterFrom is [DeadLetter] for a caller that knows the origin ("LEX.42") from
// elsewhere: calls with one reason and one origin leave one letter. With an empty
// origin every call leaves its own.
func DeadLetterFrom(ctx context.Context, js jetstream.JetStream, reason string, original *nats.Msg, origin string) error {
	if !ValidEvent(reason) || eventToken(reason) != reason {
		return Errorf(CodeInvalidInput, "dead letter reason %.64q is not one token of letters, digits, - and _", reason)
	}
	data := original.Data[:min(len(original.Data), maxDeadPayload)]
	letter := &nats.Msg{Subject: DeadLetterPrefix + reason, Data: data, Header: nats.Header{
		HeaderSubject: {original.Subject},
		HeaderSize:    {strconv.Itoa(len(original.Data))},
		HeaderMsgID:   {rand.Text()},
	}}
	if origin != "" {
		letter.Header[HeaderOrigin] = []string{origin}
		letter.Header[HeaderMsgID] = []string{"dead." + reason + "." + origin}
	}
	if trace := original.Header.Get(HeaderTrace); trace != "" {
		letter.Header[HeaderTrace] = []string{trace}
	}
	ctx, cancel := withDefaultTimeout(ctx)
	defer cancel()
	if _, err := js.PublishMsg(ctx, letter); err != nil {
		return publishError(letter.Subject, err)
	}
	return nil
}
