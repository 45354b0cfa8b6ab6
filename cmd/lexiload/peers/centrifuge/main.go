// Command centrifuge is a server made of Centrifuge's library with its defaults, to measure beside the edge:
// the token verified, a channel for each case, events read from the same NATS subject.
//
//	JWT_SECRET=… centrifuge --listen HOST:PORT --nats URL
//
// Not promised: history, recovery and presence, which the library has and which are off here.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/centrifugal/centrifuge"
	"github.com/golang-jwt/jwt/v5"
	"github.com/nats-io/nats.go"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "centrifuge:", err)
		os.Exit(1)
	}
}

func run() error {
	listen := flag.String("listen", "127.0.0.1:0", "address to serve /connection/websocket on")
	bus := flag.String("nats", nats.DefaultURL, "NATS to read events from")
	flag.Parse()
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		return err
	}
	handle(node, []byte(os.Getenv("JWT_SECRET")))
	if err := node.Run(); err != nil {
		return err
	}
	ended := make(chan error, 1)
	nc, err := nats.Connect(*bus, nats.NoReconnect(), nats.ClosedHandler(func(nc *nats.Conn) {
		ended <- fmt.Errorf("NATS has gone: %w", errors.Join(nc.LastError(), nats.ErrConnectionClosed))
	}))
	if err != nil {
		return err
	}
	_, err = nc.Subscribe("lex.case.>", func(m *nats.Msg) {
		if _, err := node.Publish(channelOf(m.Subject), m.Data); err != nil {
			ended <- err
		}
	})
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/connection/websocket", centrifuge.NewWebsocketHandler(node, centrifuge.WebsocketConfig{}))
	server := &http.Server{Addr: *listen, Handler: mux}
	go func() { ended <- server.ListenAndServe() }()
	return <-ended
}

// handle lets in who has a token, and everybody who is in into every channel.
func handle(node *centrifuge.Node, secret []byte) {
	parser := jwt.NewParser(jwt.WithValidMethods([]string{jwt.SigningMethodHS256.Alg()}))
	node.OnConnecting(func(_ context.Context, e centrifuge.ConnectEvent) (centrifuge.ConnectReply, error) {
		var claims jwt.RegisteredClaims
		if _, err := parser.ParseWithClaims(e.Token, &claims, func(*jwt.Token) (any, error) { return secret, nil }); err != nil {
			return centrifuge.ConnectReply{}, centrifuge.DisconnectInvalidToken
		}
		return centrifuge.ConnectReply{Credentials: &centrifuge.Credentials{UserID: claims.Subject}}, nil
	})
	node.OnConnect(func(c *centrifuge.Client) {
		c.OnSubscribe(func(_ centrifuge.SubscribeEvent, answer centrifuge.SubscribeCallback) {
			answer(centrifuge.SubscribeReply{}, nil)
		})
	})
}

// channelOf makes case:7 of lex.case.7.document.uploaded.
func channelOf(subject string) string {
	parts := strings.SplitN(subject, ".", 4)
	return parts[1] + ":" + parts[2]
}
