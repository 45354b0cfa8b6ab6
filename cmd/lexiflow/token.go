package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/spf13/cobra"
)

func (a *app) tokenCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Make an access token, or verify one",
		Long: `Make an access token with the HS256 secret of --jwt-secret, or with the one that "lexiflow up"
keeps in its data folder. The token alone goes to stdout:

  TOKEN=$(lexiflow token --user u1 --scope "case:123 case:456" --expires 15m)`,
		Args: words(0, 0),
	}
	c := a.configure(cmd, inToken)
	cmd.RunE = func(*cobra.Command, []string) error {
		key, err := c.signingSecret()
		if err != nil {
			return err
		}
		token, err := mint(key, c.claims(), time.Now(), c.expires)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(a.out, token)
		return err
	}
	cmd.AddCommand(a.verifyCommand())
	return cmd
}

// tokenClaims are those of contract 1.0.
type tokenClaims struct {
	jwt.RegisteredClaims

	Type  string `json:"type,omitempty"`
	Scope string `json:"scope,omitempty"`
	Email string `json:"email,omitempty"`
	Role  string `json:"role,omitempty"`
}

func (c *config) claims() tokenClaims {
	t := tokenClaims{Type: c.tokenType, Scope: c.scope, Email: c.email, Role: c.role}
	t.Subject, t.Issuer = c.user, c.jwtIssuer
	if c.jwtAudience != "" {
		t.Audience = jwt.ClaimStrings{c.jwtAudience}
	}
	return t
}

// mint signs a token that is valid from now for the given time.
func mint(key string, t tokenClaims, now time.Time, valid time.Duration) (string, error) {
	if t.Subject == "" {
		return "", usagef("--user must not be empty")
	}
	t.ID = rand.Text()
	t.IssuedAt, t.ExpiresAt = jwt.NewNumericDate(now), jwt.NewNumericDate(now.Add(valid))
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, t).SignedString([]byte(key))
	if err != nil {
		return "", fmt.Errorf("sign the token: %w", err)
	}
	return token, nil
}

// secretFile is where up keeps the secret that it made, inside its data folder.
const secretFile = "jwt-secret"

// signingSecret is the secret given, else the one that up keeps.
func (c *config) signingSecret() (string, error) {
	if c.jwtSecret != "" {
		return c.jwtSecret, nil
	}
	kept, err := keptSecret(c.dataDir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", usagef("no secret to sign with: give --jwt-secret (or JWT_SECRET), or the --data-dir of a \"lexiflow up\" that made one; %s has none", c.dataDir)
	}
	return kept, err
}

func keptSecret(dir string) (string, error) {
	path := filepath.Join(dir, secretFile)
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	kept := strings.TrimSpace(string(data))
	if len(kept) < minSecret {
		return "", fmt.Errorf("%s has %d bytes, at least %d are needed: remove it, and up makes another", path, len(kept), minSecret)
	}
	return kept, nil
}

// keepSecret returns the secret in dir and makes one if there is none. The caller has the data folder
// for itself.
func keepSecret(dir string) (string, error) {
	kept, err := keptSecret(dir)
	if !errors.Is(err, fs.ErrNotExist) {
		return kept, err
	}
	kept = rand.Text() + rand.Text() // 260 bits
	if err := os.WriteFile(filepath.Join(dir, secretFile), []byte(kept+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("keep the secret: %w", err)
	}
	return kept, nil
}

func (a *app) verifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "verify TOKEN",
		Short: "Check a token as an edge would, and print what it says",
		Long: `Check a token as an edge would, and print its claims as JSON. "-" reads the token from stdin.
Exit code 1 says that an edge would refuse it.`,
		Args: words(1, 1),
	}
	c := a.configure(cmd, inVerify)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		token, err := a.argument(args[0])
		if err != nil {
			return err
		}
		if err := c.checkKeys(true); err != nil {
			return err
		}
		if c.jwtKeyFile == "" && c.jwksURL == "" {
			if c.jwtSecret, err = c.signingSecret(); err != nil {
				return err
			}
		}
		keys, err := c.loadKeys(cmd.Context(), nil)
		if err != nil {
			return err
		}
		if err := keys.Verify(token); err != nil {
			return fmt.Errorf("an edge refuses this token: %w", err)
		}
		return printClaims(a.out, token)
	}
	return cmd
}

// argument is a word of the command line, or stdin for "-".
func (a *app) argument(word string) (string, error) {
	if word != "-" {
		return word, nil
	}
	const most = 16 << 20
	data, err := io.ReadAll(io.LimitReader(a.in, most))
	if err != nil {
		return "", fmt.Errorf("read stdin: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// printClaims prints the payload of a token whose signature was checked.
func printClaims(w io.Writer, token string) error {
	claims := jwt.MapClaims{}
	if _, _, err := jwt.NewParser().ParseUnverified(token, claims); err != nil {
		return err
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(claims)
}
