package subjects

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Everything that is kept, by name. This file alone says what is kept where and
// for how long.
const (
	StreamLog        = "LEX"        // lex.>: the one ordered log
	StreamMessages   = "MESSAGES"   // conversations, for ever; fed from LEX
	StreamNotify     = "NOTIFY"     // work queue: notify.user.<id>, notify.many
	StreamDeadLetter = "DEADLETTER" // what could not be processed

	BucketAccess        = "ACCESS"        // who may enter a room, whole state per room; fed from LEX; key <kind>.<escaped id>
	BucketNotifications = "NOTIFICATIONS" // notifyd's
	BucketPreferences   = "PREFERENCES"   // notifyd's
	BucketFollows       = "FOLLOWS"       // notifyd's
	BucketConversations = "CONVERSATIONS" // msgd's
	BucketReceipts      = "RECEIPTS"      // msgd's
	BucketDashboard     = "DASHBOARD"     // dashboardd's
	BucketPresence      = "PRESENCE"      // a record per user, announced by being stored; its key is given a TTL when the user goes offline
	BucketEdges         = "EDGES"         // leases of edges; every key has a TTL. What users hold is told on ctl.shares
	BucketSessions      = "SESSIONS"      // resumable sockets
	BucketRevoked       = "REVOKED"       // jti.<id>, user.<id>; TTL until the token's expiry
)

// Subjects of the work queue NOTIFY.
const (
	NotifyUserPrefix = "notify.user." // and the escaped id of the user
	NotifyMany       = "notify.many"
)

// StreamOptions are the choices of an installation. Zero fields take the defaults
// when a stream is created; on a stream that exists, only fields that are set
// change anything, so that what an operator tuned by hand survives.
type StreamOptions struct {
	Replicas int // 1 to 5; default 1. Of everything, the memory bucket too

	LogMaxAge   time.Duration // of LEX; default 72 h
	LogMaxBytes int64         // of LEX; default 8 GiB. The older of both limits wins

	SessionMaxAge time.Duration // of SESSIONS: resume window and refresh; default 15 min
}

const (
	defaultLogMaxAge     = 72 * time.Hour
	defaultLogMaxBytes   = 8 << 30
	defaultSessionMaxAge = 15 * time.Minute
	notifyMaxBytes       = 1 << 30
	deadLetterMaxAge     = 30 * 24 * time.Hour
	deadLetterMaxBytes   = 1 << 30
	duplicateWindow      = 2 * time.Minute
	markerTTL            = time.Second // how long watchers can see that a key expired; the least NATS allows
)

// EnsureStreams creates the streams and buckets that are missing and applies the
// options that are set. It is idempotent, and any number of processes may call it
// at once. Where all is well it needs no right but to read stream information.
//
// A stream that exists with another storage or retention, which cannot be changed
// in place, is an error naming it.
func EnsureStreams(ctx context.Context, js jetstream.JetStream, o StreamOptions) error {
	for _, want := range layout(o) {
		if err := ensure(ctx, js, want, o); err != nil {
			return fmt.Errorf("stream %s: %w", want.Name, err)
		}
	}
	return nil
}

// layout lists what there is. LEX stands first: others are fed from it.
func layout(o StreamOptions) []jetstream.StreamConfig {
	var (
		file   = jetstream.FileStorage
		memory = jetstream.MemoryStorage
	)
	all := []jetstream.StreamConfig{
		{
			Name: StreamLog, Subjects: []string{AllLog}, Storage: file,
			Description: "what happened: the one ordered log",
			MaxAge:      orElse(o.LogMaxAge, defaultLogMaxAge), MaxBytes: orElse(o.LogMaxBytes, defaultLogMaxBytes),
		},
		{
			Name: StreamMessages, Storage: file,
			Description: "conversations, for ever",
			Sources:     []*jetstream.StreamSource{{Name: StreamLog, FilterSubject: "lex.conversation.>"}},
		},
		{
			Name: StreamNotify, Subjects: []string{NotifyUserPrefix + "*", NotifyMany}, Storage: file,
			Description: "notifications to send",
			Retention:   jetstream.WorkQueuePolicy, MaxBytes: notifyMaxBytes, Discard: jetstream.DiscardNew,
		},
		{
			Name: StreamDeadLetter, Subjects: []string{DeadLetterPrefix + "*"}, Storage: file,
			Description: "what could not be processed, and why",
			MaxAge:      deadLetterMaxAge, MaxBytes: deadLetterMaxBytes,
		},
		accessBucket(),
		bucket(BucketNotifications, "notifications of each user", file),
		bucket(BucketPreferences, "how each user wants to be notified", file),
		bucket(BucketFollows, "who follows what", file),
		bucket(BucketConversations, "conversations and their members", file),
		bucket(BucketReceipts, "read and delivery receipts", file),
		bucket(BucketDashboard, "folded figures", file),
		presenceBucket(),
		withKeyTTL(bucket(BucketEdges, "leases of edges", memory)),
		withMaxAge(bucket(BucketSessions, "resumable sockets", file), orElse(o.SessionMaxAge, defaultSessionMaxAge)),
		withKeyTTL(bucket(BucketRevoked, "revoked tokens and users", file)),
	}
	for i := range all {
		all[i].Replicas = orElse(o.Replicas, 1)
		all[i].AllowDirect = true
		all[i].Duplicates = min(duplicateWindow, orElse(all[i].MaxAge, duplicateWindow))
	}
	return all
}

// accessBucket keeps the last access.changed of every room. It has no subjects of
// its own, so nothing but the log can write it.
func accessBucket() jetstream.StreamConfig {
	c := bucket(BucketAccess, "who may enter a room", jetstream.FileStorage)
	c.Subjects = nil
	c.Sources = []*jetstream.StreamSource{{
		Name: StreamLog,
		SubjectTransforms: []jetstream.SubjectTransformConfig{{
			Source:      "lex.*.*.access.changed",
			Destination: "$KV." + BucketAccess + ".{{wildcard(1)}}.{{wildcard(2)}}",
		}},
	}}
	return c
}

// presenceBucket announces by itself: storing a user's record is publishing it, so
// that the one cannot happen without the other. Keys of several tokens are not
// records and not announced.
func presenceBucket() jetstream.StreamConfig {
	c := withKeyTTL(bucket(BucketPresence, "who is here", jetstream.FileStorage))
	c.RePublish = &jetstream.RePublish{
		Source:      "$KV." + BucketPresence + ".*",
		Destination: "state." + string(KindPresence) + ".{{wildcard(1)}}." + eventToken(PresenceUpdate.name),
	}
	return c
}

// bucketPrefix makes a bucket's name the name of its stream.
const bucketPrefix = "KV_"

// bucket returns a stream that jetstream.KeyValue takes for a bucket with a
// history of one value. It is written out because a bucket here may have sources
// and limits that the KV interface does not offer.
func bucket(name, description string, storage jetstream.StorageType) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: bucketPrefix + name, Subjects: []string{"$KV." + name + ".>"}, Storage: storage,
		Description:       description,
		MaxMsgsPerSubject: 1,
		Discard:           jetstream.DiscardNew,
		AllowRollup:       true,
		DenyDelete:        true,
	}
}

// withKeyTTL lets keys have a TTL of their own, at least one second.
func withKeyTTL(c jetstream.StreamConfig) jetstream.StreamConfig {
	c.AllowMsgTTL = true
	c.SubjectDeleteMarkerTTL = markerTTL
	return c
}

func withMaxAge(c jetstream.StreamConfig, age time.Duration) jetstream.StreamConfig {
	c.MaxAge = age
	return c
}

// ensure makes one stream be there. Losing a race against another process means
// looking again.
func ensure(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig, o StreamOptions) error {
	const races = 10
	var err error
	for range races {
		stream, lookErr := js.Stream(ctx, want.Name)
		if lookErr == nil {
			return adjust(ctx, js, stream.CachedInfo().Config, want, o)
		}
		if !errors.Is(lookErr, jetstream.ErrStreamNotFound) {
			return lookErr
		}
		if _, err = js.CreateStream(ctx, want); !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return err
		}
	}
	return err
}

// adjust brings a stream that exists to what is wanted, as far as it is asked for.
func adjust(ctx context.Context, js jetstream.JetStream, have, want jetstream.StreamConfig, o StreamOptions) error {
	if have.Storage != want.Storage || have.Retention != want.Retention {
		return fmt.Errorf("exists with storage %v and retention %v, but %v and %v are needed: remove it or use another account",
			have.Storage, have.Retention, want.Storage, want.Retention)
	}
	next := have
	next.Replicas = orElse(o.Replicas, have.Replicas)
	switch want.Name {
	case StreamLog:
		next.MaxAge = orElse(o.LogMaxAge, have.MaxAge)
		next.MaxBytes = orElse(o.LogMaxBytes, have.MaxBytes)
	case bucketPrefix + BucketSessions:
		next.MaxAge = orElse(o.SessionMaxAge, have.MaxAge)
	}
	if next.MaxAge > 0 {
		next.Duplicates = min(next.Duplicates, next.MaxAge)
	}
	same := slices.Equal(have.Subjects, want.Subjects) && reflect.DeepEqual(have.RePublish, want.RePublish)
	if same && next.Replicas == have.Replicas && next.MaxAge == have.MaxAge && next.MaxBytes == have.MaxBytes {
		return nil
	}
	next.Subjects, next.RePublish = want.Subjects, want.RePublish
	_, err := js.UpdateStream(ctx, next)
	return err
}

func orElse[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
