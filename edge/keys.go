package edge

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

// KeyOptions name where the key that verifies tokens comes from: exactly one of Secret, PEMFile and
// JWKSURL. There is no default key (contract 8, B8).
type KeyOptions struct {
	Secret  string // HS256; at least 16 bytes
	PEMFile string // a public key: RSA → RS256, P-256 → ES256, Ed25519 → EdDSA
	JWKSURL string // a JSON Web Key Set with such keys, fetched again every 15 minutes

	Issuer   string // "" = any
	Audience string // "" = any
	Logger   *slog.Logger
}

// Keys verify tokens. The key decides which algorithms are allowed, never the token: a public key can
// then not be used as an HMAC secret, and "none" is never allowed. Safe for concurrent use.
type Keys struct {
	parser  *jwt.Parser
	ageless *jwt.Parser // the same, but for a token's age
	find    jwt.Keyfunc
	remote  *remoteKeys // nil unless the keys come from a URL
}

const (
	minSecret    = 16
	jwksRefresh  = 15 * time.Minute
	jwksSpacing  = 10 * time.Second // between fetches that unknown key ids ask for
	jwksDeadline = 5 * time.Second
	century      = 100 * 365 * 24 * time.Hour
)

// LoadKeys reads the key. ctx bounds the first fetch of a JWKS and ends its refreshing.
func LoadKeys(ctx context.Context, o KeyOptions) (*Keys, error) {
	sources := 0
	for _, source := range []string{o.Secret, o.PEMFile, o.JWKSURL} {
		if source != "" {
			sources++
		}
	}
	switch {
	case sources == 0:
		return nil, errors.New("no key to verify tokens with: give --jwt-secret, --jwt-key-file or --jwks-url")
	case sources > 1:
		return nil, errors.New("more than one key source: give one of --jwt-secret, --jwt-key-file and --jwks-url")
	case o.Secret != "" && len(o.Secret) < minSecret:
		return nil, fmt.Errorf("--jwt-secret has %d bytes: give at least %d", len(o.Secret), minSecret)
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	switch {
	case o.Secret != "":
		return newKeys(o, fixedKey([]byte(o.Secret)), jwt.SigningMethodHS256.Alg()), nil
	case o.PEMFile != "":
		key, alg, err := readPublicKey(o.PEMFile)
		if err != nil {
			return nil, fmt.Errorf("--jwt-key-file %s: %w", o.PEMFile, err)
		}
		return newKeys(o, fixedKey(key), alg), nil
	}
	remote, err := fetchKeys(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("--jwks-url %s: %w", o.JWKSURL, err)
	}
	keys := newKeys(o, remote.find, jwt.SigningMethodRS256.Alg(), jwt.SigningMethodES256.Alg(), jwt.SigningMethodEdDSA.Alg())
	keys.remote = remote
	return keys, nil
}

func newKeys(o KeyOptions, find jwt.Keyfunc, algorithms ...string) *Keys {
	options := []jwt.ParserOption{jwt.WithValidMethods(algorithms)}
	if o.Issuer != "" {
		options = append(options, jwt.WithIssuer(o.Issuer))
	}
	if o.Audience != "" {
		options = append(options, jwt.WithAudience(o.Audience))
	}
	ageless := append(slices.Clone(options), jwt.WithLeeway(century))
	return &Keys{parser: jwt.NewParser(options...), ageless: jwt.NewParser(ageless...), find: refuseCritical(find)}
}

// refuseCritical refuses tokens that name header parameters which must be understood: none is here
// (RFC 7515, section 4.1.11).
func refuseCritical(find jwt.Keyfunc) jwt.Keyfunc {
	return func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok {
			return nil, errors.New("the token has critical header parameters")
		}
		return find(t)
	}
}

func fixedKey(key any) jwt.Keyfunc {
	return func(*jwt.Token) (any, error) { return key, nil }
}

func readPublicKey(path string) (key crypto.PublicKey, algorithm string, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, "", err
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, "", errors.New("no PEM block in it")
	}
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var certificate *x509.Certificate
		if certificate, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = certificate.PublicKey
		}
	default:
		return nil, "", fmt.Errorf("a PEM block %q: give a public key or a certificate", block.Type)
	}
	if err != nil {
		return nil, "", err
	}
	algorithm, err = algorithmOf(key)
	return key, algorithm, err
}

func algorithmOf(key crypto.PublicKey) (string, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return jwt.SigningMethodRS256.Alg(), nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P256() {
			return jwt.SigningMethodES256.Alg(), nil
		}
		return "", fmt.Errorf("an ECDSA key on %s: give one on P-256", k.Curve.Params().Name)
	case ed25519.PublicKey:
		return jwt.SigningMethodEdDSA.Alg(), nil
	}
	return "", fmt.Errorf("a key of type %T: give RSA, ECDSA P-256 or Ed25519", key)
}

// errKeyUnknown says that a token names a key which is not in the set yet: a fetch is under way and
// the client may come back.
var errKeyUnknown = errors.New("the token's key is not known yet")

// remoteKeys are the last JWKS fetched. Verification never waits for the network, because it runs on
// an event loop: an unknown key id starts a fetch in the background instead.
type remoteKeys struct {
	ctx     context.Context
	options KeyOptions
	spacing *rate.Limiter
	current atomic.Pointer[jwt.Keyfunc]
}

func fetchKeys(ctx context.Context, o KeyOptions) (*remoteKeys, error) {
	r := &remoteKeys{ctx: ctx, options: o, spacing: rate.NewLimiter(rate.Every(jwksSpacing), 1)}
	if err := r.fetch(); err != nil {
		return nil, err
	}
	go r.refresh()
	return r, nil
}

func (r *remoteKeys) fetch() error {
	storage, err := jwkset.NewStorageFromHTTP(r.options.JWKSURL, jwkset.HTTPClientStorageOptions{
		Ctx: r.ctx, HTTPTimeout: jwksDeadline,
	})
	if err != nil {
		return err
	}
	set, err := keyfunc.New(keyfunc.Options{Ctx: r.ctx, Storage: storage})
	if err != nil {
		return err
	}
	find := jwt.Keyfunc(set.Keyfunc)
	r.current.Store(&find)
	return nil
}

func (r *remoteKeys) refresh() {
	tick := time.NewTicker(jwksRefresh)
	defer tick.Stop()
	for {
		select {
		case <-r.ctx.Done():
			return
		case <-tick.C:
			r.fetchOrWarn()
		}
	}
}

// fetchOrWarn keeps the old keys when the URL does not answer.
func (r *remoteKeys) fetchOrWarn() {
	if err := r.fetch(); err != nil && r.ctx.Err() == nil {
		r.options.Logger.Warn("keys not refreshed, the old ones stay in use", "url", r.options.JWKSURL, "error", err)
	}
}

func (r *remoteKeys) find(t *jwt.Token) (any, error) {
	key, err := (*r.current.Load())(t)
	if errors.Is(err, jwkset.ErrKeyNotFound) && r.spacing.Allow() {
		go r.fetchOrWarn()
		return nil, errKeyUnknown
	}
	return key, err
}
