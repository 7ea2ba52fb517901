# make run     the server and both clients on this machine, until Ctrl-C or the end of the count
# make test    everything, under the race detector; sets up what it needs
# make lint    go vet, staticcheck, gofmt, go.mod
# make soak    the failure and load tests at full length, KILLS=1000; writes compat-tests/RESULTS.md
# make fuzz    every fuzz target, FUZZTIME=10m each; keeps what it finds as seeds
# make bench   the server beside the original's stack, into the README; then the benchmarks of the pieces
# make build   bin/server and bin/client
# make images  the images, counting-server:local and counting-client:local
# make e2e     the end-to-end script on kubectl's context, as in: make e2e OVERLAY=python-clients

# What a run takes, as in: make run INTERVAL=10ms LIMIT=100 DATA=/tmp/data PORT=5001
INTERVAL ?= 1s
LIMIT    ?= 2000
DATA     ?= data
PORT     ?= 5000

VERSION   ?= $(shell git describe --always --dirty 2>/dev/null || echo dev)
BENCHTIME ?= 200ms
FUZZTIME  ?= 10m
KILLS     ?= 1000
OVERLAY   ?= go-clients

.PHONY: build run test lint soak fuzz bench images e2e clean

build:
	@go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/server ./server
	@go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/client ./clients

# Ctrl-C, a client that fails, and the end of the count all end every process.
run: build
	@trap 'kill $$server $$client1 $$client2 2>/dev/null; wait' EXIT; trap 'exit 130' INT TERM; \
	bin/server -addr :$(PORT) -data '$(DATA)' -goal $(LIMIT) & server=$$!; \
	until sleep 0.1; kill -0 $$server 2>/dev/null || exit 1; bin/server -check -addr :$(PORT) 2>/dev/null; do :; done; \
	export SERVER_URL=http://localhost:$(PORT); \
	bin/client -interval $(INTERVAL) -limit $(LIMIT) & client1=$$!; \
	bin/client -interval $(INTERVAL) -limit $(LIMIT) & client2=$$!; \
	wait $$client1 && wait $$client2

test:
	@PYTHON=$$(compat-tests/setup) && export PYTHON && go test -race -count=1 ./...

lint:
	go vet ./...
	go tool staticcheck ./...
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	go mod tidy -diff

soak:
	@PYTHON=$$(compat-tests/setup) && export PYTHON && \
	SOAK=$(KILLS) RESULTS=$(CURDIR)/compat-tests/RESULTS.md go test -race -count=1 -p 1 -timeout 2h -v ./compat-tests/chaos ./compat-tests/hostile ./compat-tests/faults

fuzz:
	go run ./compat-tests/fuzz -time $(FUZZTIME) -results compat-tests/RESULTS.md

bench:
	@PYTHON=$$(compat-tests/setup) && export PYTHON && go run ./compat-tests/bench -into README.md
	go test -run '^$$' -bench . -benchtime $(BENCHTIME) -benchmem ./server/...

images:
	docker build --build-arg VERSION=$(VERSION) -f server/Dockerfile -t counting-server:local .
	docker build --build-arg VERSION=$(VERSION) -f clients/Dockerfile -t counting-client:local .

e2e:
	k8s/e2e $(OVERLAY)

clean:
	rm -rf bin
