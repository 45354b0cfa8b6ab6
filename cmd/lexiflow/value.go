package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lexiflow/realtime/subjects"
)

// parsed is a value of any type with its reader. The reader's error says what is wrong with the text
// and what is allowed; the flag or variable and the text itself are put before it by the caller.
type parsed[T any] struct {
	to   *T
	kind string // shown in help
	read func(text string) (T, error)
	show func(T) string
}

func (p parsed[T]) Set(text string) error {
	v, err := p.read(text)
	if err != nil {
		return err
	}
	*p.to = v
	return nil
}

func (p parsed[T]) Type() string { return p.kind }

func (p parsed[T]) String() string {
	if p.to == nil {
		return "" // the flag library asks the zero value
	}
	return p.show(*p.to)
}

func same(s string) string { return s }

// text is any text.
func text(to *string) value {
	return parsed[string]{to, "text", func(s string) (string, error) { return s, nil }, same}
}

// name is one that can be a part of a subject.
func name(to *string) value {
	return parsed[string]{to, "text", func(s string) (string, error) {
		if token, err := subjects.Escape(s); err != nil || token != s || len(s) > 64 {
			return "", errors.New("1 to 64 letters, digits, - and _ are allowed")
		}
		return s, nil
	}, same}
}

// number is a whole number between two bounds.
func number(to *int, low, high int) value {
	return parsed[int]{to, "number", func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < low || n > high {
			return 0, fmt.Errorf("a whole number from %d to %d is allowed", low, high)
		}
		return n, nil
	}, strconv.Itoa}
}

// span is a duration between two bounds. "0" alone is allowed where the lower bound is 0.
func span(to *time.Duration, low, high time.Duration) value {
	return parsed[time.Duration]{to, "duration", func(s string) (time.Duration, error) {
		d, err := time.ParseDuration(s)
		if err != nil || d < low || d > high {
			return 0, fmt.Errorf("a duration from %v to %v is allowed, such as 25s or 1m30s", low, high)
		}
		return d, nil
	}, time.Duration.String}
}

// size is a number of bytes, with or without a unit.
func size(to *int64, low, high int64) value {
	return parsed[int64]{to, "size", func(s string) (int64, error) {
		n, err := parseSize(s)
		if err != nil || n < low || n > high {
			return 0, fmt.Errorf("a size from %s to %s is allowed, such as 1048576 or 1MiB", showSize(low), showSize(high))
		}
		return n, nil
	}, showSize}
}

var sizeUnits = [...]struct {
	name  string
	bytes int64
}{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"GB", 1e9}, {"MB", 1e6}, {"KB", 1e3}, {"B", 1}}

func parseSize(s string) (int64, error) {
	unit := int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > (1<<50)/unit {
		return 0, errors.New("not a size")
	}
	return n * unit, nil
}

func showSize(n int64) string {
	for _, u := range sizeUnits[:3] {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// yes is a switch.
func yes(to *bool) value {
	return parsed[bool]{to, "bool", func(s string) (bool, error) {
		v, err := strconv.ParseBool(s)
		if err != nil {
			return false, errors.New("true or false is allowed")
		}
		return v, nil
	}, strconv.FormatBool}
}

// option is a word of which a type of another package knows the meaning.
func option[T any](to *T, read func(string) (T, error), show func(T) string) value {
	return parsed[T]{to, "word", read, show}
}

// word is one of several words.
func word(to *string, allowed ...string) value {
	return option(to, func(s string) (string, error) {
		if !slices.Contains(allowed, s) {
			return "", errors.New(strings.Join(allowed, ", ") + " are allowed")
		}
		return s, nil
	}, same)
}

// list grows with every use of its flag and takes commas too.
func list(to *[]string, kind string, check func(string) error) value {
	return parsed[[]string]{to, kind, func(s string) ([]string, error) {
		all := slices.Clone(*to)
		for item := range strings.SplitSeq(s, ",") {
			item = strings.TrimSpace(item)
			if err := check(item); err != nil {
				return nil, err
			}
			all = append(all, item)
		}
		return all, nil
	}, func(all []string) string { return strings.Join(all, ",") }}
}

// address is where to listen.
func address(to *string) value {
	return parsed[string]{to, "address", func(s string) (string, error) {
		_, port, err := net.SplitHostPort(s)
		if err != nil {
			return "", errors.New("host:port is allowed, such as 127.0.0.1:3000 or :3000")
		}
		if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
			return "", errors.New("a port from 0 to 65535 is allowed, 0 for any free one")
		}
		return s, nil
	}, same}
}

// file is one that can be read now.
func file(to *string) value {
	return parsed[string]{to, "file", func(s string) (string, error) {
		f, err := os.Open(s)
		if err != nil {
			if inner := new(os.PathError); errors.As(err, &inner) {
				err = inner.Err // the path is said already
			}
			return "", fmt.Errorf("the path of a readable file is allowed: %w", err)
		}
		return s, f.Close()
	}, same}
}

// folder is a path; it need not exist.
func folder(to *string) value {
	return parsed[string]{to, "folder", func(s string) (string, error) {
		if s == "" {
			return "", errors.New("a path is needed")
		}
		return filepath.Clean(s), nil
	}, same}
}

// urls is one URL, or several with commas where many is set.
func urls(to *string, many bool, schemes ...string) value {
	allowed := "a URL beginning with " + strings.Join(schemes, ":// or ") + ":// is allowed"
	return parsed[string]{to, "url", func(s string) (string, error) {
		all := []string{s}
		if many {
			all = strings.Split(s, ",")
		}
		for _, one := range all {
			u, err := url.Parse(strings.TrimSpace(one))
			if err != nil || u.Host == "" || !slices.Contains(schemes, u.Scheme) {
				return "", errors.New(allowed)
			}
		}
		return s, nil
	}, same}
}

// secret is a shared key for HS256.
func secret(to *string) value {
	return parsed[string]{to, "secret", func(s string) (string, error) {
		if len(s) < minSecret {
			return "", fmt.Errorf("has %d bytes, at least %d are allowed", len(s), minSecret)
		}
		return s, nil
	}, same}
}

// minSecret is what edge.LoadKeys asks for too; here the error can name the variable.
const minSecret = 16

// milliseconds reads the number of an _MS variable as the flag's duration.
func milliseconds(text string) (string, error) {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return "", errors.New("a whole number of milliseconds is allowed")
	}
	return (time.Duration(n) * time.Millisecond).String(), nil
}

// secondsOr reads a duration, or a bare number as seconds.
func secondsOr(text string) (string, error) {
	if n, err := strconv.ParseUint(text, 10, 32); err == nil {
		return (time.Duration(n) * time.Second).String(), nil
	}
	return text, nil
}

// onPort makes the reader of PORT: the port of an address on the given host.
func onPort(host string) func(string) (string, error) {
	return func(text string) (string, error) {
		if n, err := strconv.Atoi(text); err != nil || n < 0 || n > 65535 {
			return "", errors.New("a port from 0 to 65535 is allowed")
		}
		return net.JoinHostPort(host, text), nil
	}
}
