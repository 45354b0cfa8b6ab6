package edge

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/lexiflow/realtime/edge/sio"
)

// claims are those of contract 1.0. Unknown ones are ignored.
type claims struct {
	jwt.RegisteredClaims

	UserID string `json:"userId"`
	Type   string `json:"type"`
	Scope  string `json:"scope"`
}

// UnmarshalJSON implements [json.Unmarshaler]. Every CONNECT reads a token, and by reflection that costs as
// much as its signature twice over. So claims as issuers write them are read here; whatever has a form that
// is not expected, however slightly, is left to encoding/json, so that the result is always its own.
func (c *claims) UnmarshalJSON(data []byte) error {
	var read claims
	if sio.Members(data, read.take) {
		*c = read
		return nil
	}
	type reflected claims
	return json.Unmarshal(data, (*reflected)(c))
}

// take reads one member, or returns false for one that it does not understand.
func (c *claims) take(key, value []byte) (ok bool) {
	switch string(key) {
	case `"sub"`:
		c.Subject, ok = jsonString(value)
	case `"userId"`:
		c.UserID, ok = jsonString(value)
	case `"type"`:
		c.Type, ok = jsonString(value)
	case `"scope"`:
		c.Scope, ok = jsonString(value)
	case `"jti"`:
		c.ID, ok = jsonString(value)
	case `"iss"`:
		c.Issuer, ok = jsonString(value)
	case `"aud"`:
		var audience string
		audience, ok = jsonString(value)
		c.Audience = jwt.ClaimStrings{audience}
	case `"exp"`:
		c.ExpiresAt, ok = wholeSecond(value)
	case `"nbf"`:
		c.NotBefore, ok = wholeSecond(value)
	case `"iat"`:
		c.IssuedAt, ok = wholeSecond(value)
	default:
		return unclaimed(key)
	}
	return ok
}

// unclaimed reports whether a key is certainly none of the claims: encoding/json takes "SUB" for sub.
func unclaimed(key []byte) bool {
	if bytes.IndexByte(key, '\\') >= 0 {
		return false
	}
	key = key[1 : len(key)-1]
	for _, name := range [...]string{"sub", "userId", "type", "scope", "jti", "iss", "aud", "exp", "nbf", "iat"} {
		if bytes.EqualFold(key, []byte(name)) {
			return false
		}
	}
	return true
}

// wholeSecond reads a date as nearly all issuers write it; few digits are exact in every number's format.
func wholeSecond(value []byte) (*jwt.NumericDate, bool) {
	seconds, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil || seconds >= 1<<50 {
		return nil, false
	}
	return jwt.NewNumericDate(time.Unix(int64(seconds), 0)), true
}
