package edge

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const testSecret = "a secret for tests, long enough"

func sign(t testing.TB, method jwt.SigningMethod, key any, c jwt.MapClaims) string {
	t.Helper()
	token, err := jwt.NewWithClaims(method, c).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func inAnHour() int64 { return time.Now().Add(time.Hour).Unix() }

func TestVerifySecret(t *testing.T) {
	keys, err := LoadKeys(context.Background(), KeyOptions{Secret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	hs := func(c jwt.MapClaims) string { return sign(t, jwt.SigningMethodHS256, []byte(testSecret), c) }
	tests := map[string]struct {
		token string
		user  string // "" = refused
		says  string // part of the error
	}{
		"sub":              {hs(jwt.MapClaims{"sub": "u1", "exp": inAnHour()}), "u1", ""},
		"userId":           {hs(jwt.MapClaims{"userId": "u2", "exp": inAnHour()}), "u2", ""},
		"sub before id":    {hs(jwt.MapClaims{"sub": "u1", "userId": "u2"}), "u1", ""},
		"type access":      {hs(jwt.MapClaims{"sub": "u1", "type": "access"}), "u1", ""},
		"no token":         {"", "", "no token"},
		"garbage":          {"x.y.z", "", "cannot be read"},
		"expired":          {hs(jwt.MapClaims{"sub": "u1", "exp": time.Now().Add(-time.Second).Unix()}), "", "expired"},
		"not yet":          {hs(jwt.MapClaims{"sub": "u1", "nbf": inAnHour()}), "", "not valid yet"},
		"type mfa":         {hs(jwt.MapClaims{"sub": "u1", "type": "mfa"}), "", "mfa"},
		"type reset":       {hs(jwt.MapClaims{"sub": "u1", "type": "reset"}), "", "reset"},
		"type refresh":     {hs(jwt.MapClaims{"sub": "u1", "type": "refresh"}), "", "refresh"},
		"nobody":           {hs(jwt.MapClaims{"exp": inAnHour()}), "", "sub has 0 bytes"},
		"long user":        {hs(jwt.MapClaims{"sub": strings.Repeat("u", 129)}), "", "129 bytes"},
		"critical header":  {criticalToken(t), "", "signature or algorithm"},
		"line break":       {hs(jwt.MapClaims{"sub": "u1\r\nLex-User: admin"}), "", "control"},
		"sub is a number":  {hs(jwt.MapClaims{"sub": 7}), "", "cannot be read"},
		"other secret":     {sign(t, jwt.SigningMethodHS256, []byte("another secret, long enough"), jwt.MapClaims{"sub": "u1"}), "", "signature"},
		"another HMAC":     {sign(t, jwt.SigningMethodHS512, []byte(testSecret), jwt.MapClaims{"sub": "u1"}), "", "signature or algorithm"},
		"algorithm none":   {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, jwt.MapClaims{"sub": "u1"}), "", "signature or algorithm"},
		"signature absent": {hs(jwt.MapClaims{"sub": "u1"})[:40], "", "cannot be read"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			id, err := keys.verify(test.token)
			switch {
			case test.user == "" && err == nil:
				t.Fatalf("accepted as %q", id.user)
			case test.user == "" && !strings.Contains(err.Error(), test.says):
				t.Fatalf("error %q does not say %q", err, test.says)
			case test.user != "" && err != nil:
				t.Fatal(err)
			case test.user != "" && id.user != test.user:
				t.Fatalf("user %q, want %q", id.user, test.user)
			}
		})
	}
}

func criticalToken(t *testing.T) string {
	token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"sub": "u1"})
	token.Header["crit"] = []string{"exp"}
	signed, err := token.SignedString([]byte(testSecret))
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// keyPair is one public key with what signs for it.
type keyPair struct {
	method jwt.SigningMethod
	signer crypto.Signer
}

func keyPairs(t *testing.T) map[string]keyPair {
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, d, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]keyPair{
		"RS256": {jwt.SigningMethodRS256, r},
		"ES256": {jwt.SigningMethodES256, e},
		"EdDSA": {jwt.SigningMethodEdDSA, d},
	}
}

func publicPEM(t *testing.T, key crypto.PublicKey) []byte {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func TestVerifyPEM(t *testing.T) {
	for name, pair := range keyPairs(t) {
		t.Run(name, func(t *testing.T) {
			public := publicPEM(t, pair.signer.Public())
			path := filepath.Join(t.TempDir(), "key.pem")
			if err := os.WriteFile(path, public, 0o600); err != nil {
				t.Fatal(err)
			}
			keys, err := LoadKeys(context.Background(), KeyOptions{PEMFile: path})
			if err != nil {
				t.Fatal(err)
			}
			c := jwt.MapClaims{"sub": "u1", "exp": inAnHour()}
			if _, err := keys.verify(sign(t, pair.method, pair.signer, c)); err != nil {
				t.Fatal(err)
			}
			// Algorithm confusion: the public key, which everybody has, as an HMAC secret.
			for _, secret := range [][]byte{public, public[:len(public)-1]} {
				if _, err := keys.verify(sign(t, jwt.SigningMethodHS256, secret, c)); err == nil {
					t.Fatal("a token signed with the public key as an HMAC secret is accepted")
				}
			}
		})
	}
}

func TestVerifyJWKS(t *testing.T) {
	pairs := keyPairs(t)
	var set atomic.Value
	set.Store(jwks(t, pairs))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(set.Load().([]byte))
	}))
	defer server.Close()
	keys, err := LoadKeys(t.Context(), KeyOptions{JWKSURL: server.URL})
	if err != nil {
		t.Fatal(err)
	}
	withKID := func(p keyPair, kid string) string {
		token := jwt.NewWithClaims(p.method, jwt.MapClaims{"sub": "u1", "exp": inAnHour()})
		token.Header["kid"] = kid
		signed, err := token.SignedString(p.signer)
		if err != nil {
			t.Fatal(err)
		}
		return signed
	}
	for name, pair := range pairs {
		if _, err := keys.verify(withKID(pair, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := keys.verify(withKID(pairs["ES256"], "RS256")); err == nil {
		t.Error("a token under another key's id is accepted")
	}
	// A key that is rolled in: unknown first, which asks to come back, and known a moment later.
	rolled := keyPairs(t)["EdDSA"]
	pairs["rolled"] = rolled
	set.Store(jwks(t, pairs))
	if _, err := keys.verify(withKID(rolled, "rolled")); !errors.Is(err, errKeyUnknown) {
		t.Fatalf("unknown key: %v, want errKeyUnknown", err)
	}
	deadline := time.After(5 * time.Second)
	for {
		_, err := keys.verify(withKID(rolled, "rolled"))
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("the rolled key is never known: %v", err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// jwks writes the public keys as RFC 7517 has it.
func jwks(t *testing.T, pairs map[string]keyPair) []byte {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	var keys []map[string]string
	for name, pair := range pairs {
		key := map[string]string{"kid": name, "use": "sig"}
		switch p := pair.signer.Public().(type) {
		case *rsa.PublicKey:
			key["kty"], key["n"], key["e"] = "RSA", b64(p.N.Bytes()), "AQAB"
		case *ecdsa.PublicKey:
			point, err := p.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			key["kty"], key["crv"], key["x"], key["y"] = "EC", "P-256", b64(point[1:33]), b64(point[33:])
		case ed25519.PublicKey:
			key["kty"], key["crv"], key["x"] = "OKP", "Ed25519", b64(p)
		}
		keys = append(keys, key)
	}
	data, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestLoadKeysRefuses(t *testing.T) {
	notPEM := filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(notPEM, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		options KeyOptions
		says    string
	}{
		"nothing":      {KeyOptions{}, "--jwt-secret"},
		"two":          {KeyOptions{Secret: testSecret, JWKSURL: "http://127.0.0.1:1/"}, "more than one"},
		"short":        {KeyOptions{Secret: "short"}, "5 bytes"},
		"no file":      {KeyOptions{PEMFile: "absent.pem"}, "absent.pem"},
		"no PEM":       {KeyOptions{PEMFile: notPEM}, "no PEM block"},
		"no key there": {KeyOptions{JWKSURL: "http://127.0.0.1:1/keys"}, "--jwks-url"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := LoadKeys(t.Context(), test.options); err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("error %v does not say %q", err, test.says)
			}
		})
	}
}
