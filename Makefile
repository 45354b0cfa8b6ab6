# The verbs of this repository. `make test` is what continuous integration runs.

GO        ?= go
FUZZTIME  ?= 20s
CHAOS_ROUNDS ?= 50
LINT      := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BIN       := bin
E2E       := edge/e2e
PEERS     := cmd/lexiload/peers
SOCKETIO  := $(PEERS)/socketio
CLIENT    := edge/client
DEMO      := edge/client/demo
CHROMIUM  ?= /usr/bin/chromium
BENCH     ?= all
BENCH_quick  := --quick
BENCH_record := --record deploy/BENCHMARKS.md

.PHONY: up demo test test-go test-node test-client test-browser browser generate chaos lint fmt fuzz bench build clean

up: demo
	$(GO) run ./cmd/lexiflow up

# The demo application, which the program carries. Without Node there is none, and up shows its page of raw events.
demo: $(DEMO)/dist/app/index.html

$(DEMO)/dist/app/index.html: $(shell find $(DEMO)/src $(CLIENT)/src -type f) $(DEMO)/index.html $(DEMO)/vite.config.ts \
    $(CLIENT)/node_modules/.installed $(DEMO)/node_modules/.installed
	cd $(CLIENT) && npm run --silent build
	cd $(DEMO) && npm run --silent build

build: demo
	$(GO) build -o $(BIN)/ ./cmd/lexiflow ./cmd/lexiload ./edge/conformance

test: test-go test-node test-client test-browser

# The twin for systems without epoll must keep building. What measures heartbeats to the millisecond runs
# alone, before the others need the processors.
TIMED := ./edge/conformance ./edge/engine
test-go:
	$(GO) vet ./...
	GOOS=darwin $(GO) build ./...
	GOOS=windows $(GO) build ./...
	$(GO) test -race -p 1 $(TIMED)
	$(GO) test -race $$($(GO) list ./... | grep -vxF "$$($(GO) list $(TIMED))")

# The official clients, as a frontend would install them, against the real processes.
test-node: $(E2E)/node_modules/.installed build
	cd $(E2E) && LEXIFLOW_BIN=$(CURDIR)/$(BIN)/lexiflow CONFORMANCE_BIN=$(CURDIR)/$(BIN)/conformance npm test

# The npm package: built as it is published, then its tests against the real processes with React 18.2 and 19.
test-client: $(CLIENT)/node_modules/.installed $(E2E)/node_modules/.installed build
	cd $(CLIENT) && npm run --silent build && LEXIFLOW_BIN=$(CURDIR)/$(BIN)/lexiflow npm test

# TypeScript, JSON Schemas and AsyncAPI from the declarations in subjects; a test fails while they are stale.
generate:
	$(GO) generate ./...

# The demo in a real Chromium, against the real processes; a picture of each page goes to $(DEMO)/artefacts.
test-browser: browser $(E2E)/node_modules/.installed build
	cd $(DEMO) && CHROMIUM=$(CHROMIUM) LEXIFLOW_BIN=$(CURDIR)/$(BIN)/lexiflow CONFORMANCE_BIN=$(CURDIR)/$(BIN)/conformance npm test

browser:
	@test -x $(CHROMIUM) || { apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; }

# Edges and each domain service killed at random moments, CHAOS_ROUNDS times; make test does it three times.
chaos:
	CHAOS_ROUNDS=$(CHAOS_ROUNDS) $(GO) test -race -count=1 -p 1 -timeout 3h \
	  -run '^(TestCrash|TestKilledAt.*|TestKilledEdges.*|TestDrainedEdges.*)$$' ./cmd/lexiflow ./presence ./notifyd ./msgd ./dashboardd

$(E2E)/node_modules/.installed: $(E2E)/package-lock.json
	cd $(E2E) && npm ci --no-audit --no-fund
	@touch $@

$(CLIENT)/node_modules/.installed: $(CLIENT)/package-lock.json
	cd $(CLIENT) && npm ci --no-audit --no-fund
	@touch $@

$(DEMO)/node_modules/.installed: $(DEMO)/package-lock.json
	cd $(DEMO) && npm ci --no-audit --no-fund
	@touch $@

lint:
	$(GO) run $(LINT) run ./...

fmt:
	$(GO) run $(LINT) fmt ./...

# Every fuzz target for FUZZTIME.
fuzz:
	@for pkg in $$($(GO) list ./...); do \
	  for target in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
	    echo "$$pkg $$target"; \
	    $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) $$pkg || exit 1; \
	  done; \
	done

# The figures: the edge beside its peers in one table (cmd/lexiload/compare), then commands through the
# services and the benchmarks of their rules. BENCH=quick tries everything once, small; BENCH=record also
# writes the table into deploy/BENCHMARKS.md.
bench: build $(SOCKETIO)/node_modules/.installed
	$(GO) build -o $(BIN)/ ./cmd/lexiload/compare
	cd $(PEERS) && $(GO) build -o $(CURDIR)/$(BIN)/ ./floor ./centrifuge
	$(BIN)/compare --bin $(BIN) --socketio $(SOCKETIO) $(BENCH_$(BENCH))
	$(if $(filter quick,$(BENCH)),,cmd/lexiload/bench.sh $(BIN))
	$(if $(filter quick,$(BENCH)),,$(GO) test -run '^$$' -bench . -p 1 ./presence ./notifyd ./msgd ./dashboardd)

$(SOCKETIO)/node_modules/.installed: $(SOCKETIO)/package-lock.json
	cd $(SOCKETIO) && npm ci --no-audit --no-fund
	@touch $@

clean:
	rm -rf $(BIN) $(DEMO)/dist/app $(DEMO)/artefacts $(DEMO)/node_modules $(E2E)/node_modules $(SOCKETIO)/node_modules \
	  $(CLIENT)/node_modules $(CLIENT)/test/react-18/node_modules $(CLIENT)/dist
