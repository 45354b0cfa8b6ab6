package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/gobwas/ws"
	"github.com/golang-jwt/jwt/v5"
)

// openPacket follows the handshake; every client may have the same id here.
const openPacket = `0{"sid":"floor","upgrades":[],"pingInterval":25000,"pingTimeout":60000,"maxPayload":1000000}`

// head makes a request's head in memory the connection of the upgrader.
type head struct {
	io.Reader
	io.Writer
}

// handshake answers a request's head: the upgrade, and the open packet behind it. A head that cannot be
// upgraded gets what the upgrader says, and the client goes.
func handshake(request []byte) []byte {
	var out bytes.Buffer
	if _, err := ws.Upgrade(head{bytes.NewReader(request), &out}); err != nil {
		return out.Bytes()
	}
	return appendText(out.Bytes(), []byte(openPacket))
}

// answer acts on one message: CONNECT with a token, subscribe:case, and pongs. It returns false for the rest.
func (l *loop) answer(c *conn, message []byte) bool {
	switch {
	case bytes.Equal(message, []byte("3")):
		return true
	case bytes.HasPrefix(message, []byte("40/events,")):
		if !l.verify(field(message, `"token":"`)) {
			return false
		}
		l.write(c, appendText(nil, fmt.Appendf(nil, `40/events,{"sid":"floor-%d"}`, c.fd)))
		return true
	case bytes.HasPrefix(message, []byte("42/events,")):
		rest := message[len("42/events,"):]
		id, _, _ := bytes.Cut(rest, []byte("["))
		room := field(rest, `"caseId":"`)
		if len(room) == 0 {
			return false
		}
		l.rooms.join(c, string(room))
		ack := fmt.Appendf(nil, `43/events,%s[{"status":"subscribed","caseId":"%s"}]`, id, room)
		l.write(c, appendText(nil, ack))
		return true
	}
	return false
}

var parser = jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}))

func (l *loop) verify(token []byte) bool {
	var claims jwt.RegisteredClaims
	_, err := parser.ParseWithClaims(string(token), &claims, func(*jwt.Token) (any, error) { return l.secret, nil })
	return err == nil && claims.Subject != ""
}

// field is the text behind key, up to the next quote.
func field(message []byte, key string) []byte {
	_, rest, _ := bytes.Cut(message, []byte(key))
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return value
}

// unframe takes one whole text frame of a client off data. What is something else, or in pieces, gives nil.
func unframe(data []byte) (message, rest []byte) {
	if len(data) < 6 || data[0] != 0x81 {
		return nil, nil
	}
	size, at := int(data[1]&0x7f), 2
	if size == 126 && len(data) >= 8 {
		size, at = int(binary.BigEndian.Uint16(data[2:])), 4
	}
	if size == 127 || len(data) < at+4+size {
		return nil, nil
	}
	message = data[at+4 : at+4+size]
	ws.Cipher(message, [4]byte(data[at:]), 0)
	return message, data[at+4+size:]
}

// appendText appends an unmasked text frame of at most 64 KiB.
func appendText(dst, text []byte) []byte {
	if len(text) < 126 {
		dst = append(dst, 0x81, byte(len(text)))
	} else {
		dst = binary.BigEndian.AppendUint16(append(dst, 0x81, 126), uint16(len(text)))
	}
	return append(dst, text...)
}
