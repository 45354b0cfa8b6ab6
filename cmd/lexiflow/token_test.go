package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func TestTokenAndVerify(t *testing.T) {
	env := map[string]string{"JWT_SECRET": testSecret}
	made := lexiflow(t.Context(), env, "", "token", "--user", "auth0|7", "--scope", "case:1 case:2", "--expires", "5m",
		"--email", "a@b.example", "--role", "partner", "--jwt-issuer", "firm", "--jwt-audience", "realtime")
	if made.code != exitOK {
		t.Fatalf("token: %+v", made)
	}
	seen := lexiflow(t.Context(), env, made.out, "token", "verify", "-", "--jwt-issuer", "firm", "--jwt-audience", "realtime")
	if seen.code != exitOK {
		t.Fatalf("verify: %+v", seen)
	}
	var claims struct {
		Sub, Scope, Email, Role, Iss, Type, Jti string
		Aud                                     []string
		Iat, Exp                                int64
	}
	if err := json.Unmarshal([]byte(seen.out), &claims); err != nil {
		t.Fatal(err)
	}
	if claims.Sub != "auth0|7" || claims.Scope != "case:1 case:2" || claims.Email != "a@b.example" || claims.Role != "partner" ||
		claims.Iss != "firm" || len(claims.Aud) != 1 || claims.Type != "access" || claims.Jti == "" || claims.Exp-claims.Iat != 300 {
		t.Errorf("claims %+v", claims)
	}
}

func TestVerifyRefuses(t *testing.T) {
	now := time.Now()
	sign := func(claims tokenClaims, from time.Time) string {
		claims.Subject = "u1"
		token, err := mint(testSecret, claims, from, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for name, c := range map[string]struct {
		token string
		args  []string
		env   map[string]string
		code  int
		says  string
	}{
		"expired":        {sign(tokenClaims{}, now.Add(-2*time.Hour)), nil, nil, exitFailed, "expired"},
		"another type":   {sign(tokenClaims{Type: "refresh"}, now), nil, nil, exitFailed, "refresh"},
		"another secret": {sign(tokenClaims{}, now), nil, map[string]string{"JWT_SECRET": testSecret + "x"}, exitFailed, "signature"},
		"another issuer": {sign(tokenClaims{RegisteredClaims: jwt.RegisteredClaims{Issuer: "x"}}, now), []string{"--jwt-issuer", "firm"}, nil, exitFailed, "issuer"},
		"no token":       {"bogus", nil, nil, exitFailed, "cannot be read"},
		"no key":         {"bogus", []string{"--data-dir", "/nowhere"}, map[string]string{}, exitUsage, "--jwt-secret"},
	} {
		t.Run(name, func(t *testing.T) {
			env := c.env
			if env == nil {
				env = map[string]string{"JWT_SECRET": testSecret}
			}
			o := lexiflow(t.Context(), env, "", append([]string{"token", "verify", c.token}, c.args...)...)
			if o.code != c.code || !strings.Contains(o.remark, c.says) {
				t.Errorf("exit code %d, %q, want %d and %q", o.code, o.remark, c.code, c.says)
			}
			if len(c.token) > 20 && strings.Contains(o.remark, c.token) {
				t.Errorf("the error repeats the token")
			}
		})
	}
}

func TestVerifyWithPublicKey(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.RegisteredClaims{Subject: "u1"}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	if o := lexiflow(t.Context(), nil, "", "token", "verify", token, "--jwt-key-file", file); o.code != exitOK {
		t.Errorf("%+v", o)
	}
}

func TestKeptSecret(t *testing.T) {
	dir := t.TempDir()
	first, err := keepSecret(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := keepSecret(dir)
	if err != nil || second != first {
		t.Errorf("the second time %q, %v, want %q", second, err, first)
	}
	info, err := os.Stat(filepath.Join(dir, secretFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || len(first) < 40 {
		t.Errorf("mode %v, %d bytes", info.Mode(), len(first))
	}
	if o := lexiflow(t.Context(), nil, "", "token", "--data-dir", dir); o.code != exitOK {
		t.Errorf("token with the kept secret: %+v", o)
	}
	if err := os.WriteFile(filepath.Join(dir, secretFile), []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if o := lexiflow(t.Context(), nil, "", "token", "--data-dir", dir); o.code != exitFailed || !strings.Contains(o.remark, secretFile) {
		t.Errorf("token with a short kept secret: %+v", o)
	}
}
