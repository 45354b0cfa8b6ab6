package edge

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lexiflow/realtime/edge/engine"
	"github.com/lexiflow/realtime/edge/sio"
)

// identity is what a verified token says. It is immutable and shared by all that came from one
// CONNECT; nothing that a client sends later changes it (contract 8, B4).
type identity struct {
	user    string
	scope   string
	tokenID string
	issued  time.Time // zero: unknown
	expires time.Time // zero: never
}

const maxUser = 128 // bytes; a user id becomes part of subjects and room names

// verify checks a token and returns whom it names. Its errors are fit for the client: they never
// repeat the token. A token without exp is valid for ever, as the original accepted it.
func (k *Keys) verify(token string) (*identity, error) { return k.check(k.parser, token) }

func (k *Keys) check(parser *jwt.Parser, token string) (*identity, error) {
	if token == "" {
		return nil, errors.New("no token: send auth {token}, an Authorization header or ?token=")
	}
	var c claims
	if _, err := parser.ParseWithClaims(token, &c, k.find); err != nil {
		return nil, tokenError(err)
	}
	if c.Type != "" && c.Type != "access" {
		return nil, fmt.Errorf("a token of type %q: an access token is needed", shorten(c.Type))
	}
	user := c.Subject
	if user == "" {
		user = c.UserID
	}
	if user == "" || len(user) > maxUser {
		return nil, fmt.Errorf("the token's sub has %d bytes: 1 to %d are allowed", len(user), maxUser)
	}
	if strings.ContainsFunc(user, unicode.IsControl) || strings.TrimSpace(user) != user {
		return nil, errors.New("the token's sub has control characters or white space around it")
	}
	id := &identity{user: strings.Clone(user), scope: strings.Clone(c.Scope), tokenID: strings.Clone(c.ID)}
	if c.ExpiresAt != nil {
		id.expires = c.ExpiresAt.Time
	}
	if c.IssuedAt != nil {
		id.issued = c.IssuedAt.Time
	}
	return id, nil
}

// verifyFor is verify for a CONNECT. For one that resumes a session a token that is only expired is
// still good: it says whose session it is, and expired says that it must not open a new one.
func (k *Keys) verifyFor(token string, resumes bool) (who *identity, expired bool, err error) {
	who, err = k.verify(token)
	if err == nil || !resumes || !errors.Is(err, errExpired) {
		return who, false, err
	}
	who, err = k.check(k.ageless, token)
	return who, true, err
}

// Verify reports why an edge would refuse a token, nil if it would not.
func (k *Keys) Verify(token string) error {
	_, err := k.verify(token)
	return err
}

var errExpired = errors.New("the token is expired")

// tokenError turns the library's errors into one sentence without the token's content.
func tokenError(err error) error {
	switch {
	case errors.Is(err, errKeyUnknown):
		return errKeyUnknown
	case errors.Is(err, jwt.ErrTokenExpired):
		return errExpired
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		return errors.New("the token is not valid yet")
	case errors.Is(err, jwt.ErrTokenInvalidIssuer), errors.Is(err, jwt.ErrTokenInvalidAudience), errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		return errors.New("the token is for another issuer or audience")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		return errors.New("the token's signature or algorithm is not accepted")
	}
	return errors.New("the token cannot be read")
}

func shorten(s string) string {
	if len(s) > 16 {
		return s[:16] + "…"
	}
	return s
}

// handshakeToken is the token that came with the HTTP request: Authorization first, then ?token=.
func handshakeToken(r *engine.Request, queryToken bool) string {
	if scheme, token, ok := strings.Cut(r.Authorization, " "); ok && strings.EqualFold(scheme, "Bearer") {
		return strings.Clone(strings.TrimSpace(token))
	}
	if queryToken {
		return strings.Clone(r.Query.Get("token"))
	}
	return ""
}

// connectToken is the token for one namespace: auth.token of its CONNECT, else that of the handshake
// (contract 1.0: auth.token, Bearer header, query).
func connectToken(auth []byte, handshake string) string {
	if raw, ok := sio.Field(auth, "token"); ok {
		if token, ok := jsonString(raw); ok && token != "" {
			return token
		}
	}
	return handshake
}
