# make run          run the server and both clients on this machine, until Ctrl-C or the end of the count
# make kill-server  kill the server of make run, which restarts it (also kill-client1, kill-client2; PORT=5001 selects another make run)
# make test         run the tests that need only Go, in a minute or two
# make test-all     run all tests; lists the programs they need besides Go, and installs them if possible
# make lint         go vet, staticcheck, gofmt, go.mod, wording; build and vet for other systems
# make soak         run the failure and load tests at full length, KILLS=1000; writes compat-tests/RESULTS.md
# make mutation     change the code of packages in small ways, and run their tests on each
# make fuzz         run each fuzz target for FUZZTIME=10m; keeps interesting inputs as seeds
# make bench        compare the server with others, into compat-tests/RESULTS.md; then run the Go benchmarks
# make build        build bin/server and bin/client
# make images       build the images counting-server:local and counting-client:local
# make e2e          run k8s/e2e in kubectl's context, as in: make e2e OVERLAY=python-clients

# Variables of make run, as in: make run INTERVAL=10ms LIMIT=100 DATA=/tmp/data PORT=5001
INTERVAL ?= 1s
LIMIT    ?= 2000
DATA     ?= data
PORT     ?= 5000

VERSION   ?= $(shell git describe --always --dirty 2>/dev/null || echo dev)
BENCHTIME ?= 200ms
MUTATED ?= ./server/game ./server/room ./server/lobby ./server/numbersfile ./server/engineio
FUZZTIME  ?= 10m
KILLS     ?= 1000
OVERLAY   ?= go-clients

.PHONY: build run kill-server kill-client1 kill-client2 test test-all lint soak mutation fuzz bench images e2e clean

build:
	@go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/server ./server
	@go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/client ./clients

# Runs the three processes, and restarts each that is killed by a signal. Ctrl-C, a
# process that fails, and the end of the count end all of them.
define run
say() { echo "make run: $$*"; }
case $$LIMIT in ''|0*|*[!0-9]*|????????????????*) say "LIMIT=$$LIMIT: want an integer of at least 1 with at most 15 digits, such as 2000" >&2; exit 2 ;; esac
case $$PORT in ''|0*|*[!0-9]*|??????*) port=0 ;; *) port=$$PORT ;; esac
if [ "$$port" -lt 1 ] || [ "$$port" -gt 65535 ]; then say "PORT=$$PORT: want a port from 1 to 65535, such as 5000" >&2; exit 2; fi
counted() { bin/server -verify "$$DATA/numbers.txt" 2>/dev/null | sed -n 's/.* of \([0-9]*\) lines$$/\1/p'; }
lines=$$(counted)
if [ "$${lines:-0}" -ge "$$LIMIT" ]; then
	say "$$DATA/numbers.txt already has the count to $$LIMIT; set a higher LIMIT or another DATA"
	exit 0
fi

if bin/server -check -addr ":$$PORT" 2>/dev/null; then
	say "another server uses port $$PORT; stop it, or set another PORT" >&2
	exit 1
fi

# keep runs a command, and restarts it when it is killed. If it fails, everything ends.
keep() { # name command...
	name=$$1 child=''
	shift
	trap 'trap - TERM; kill $$child 2>/dev/null; wait $$child; exit 0' TERM
	trap '' INT
	while :; do
		"$$@" & child=$$!
		echo "$$child" >"bin/$$PORT-$$name.pid"
		say "$$name is process $$child"
		wait "$$child"
		code=$$?
		[ "$$code" -eq 0 ] && exit
		[ "$$code" -gt 128 ] || { kill -USR1 $$$$; exit "$$code"; }
		say "$$name was killed; restarting it"
	done
}
end() {
	trap '' INT TERM
	kill $$server $$client1 $$client2 2>/dev/null
	wait
	rm -f "bin/$$PORT-server.pid" "bin/$$PORT-client1.pid" "bin/$$PORT-client2.pid"
}
trap end EXIT
trap 'exit 0' INT TERM
trap 'exit 1' USR1

keep server bin/server -addr ":$$PORT" -data "$$DATA" -goal "$$LIMIT" & server=$$!
until bin/server -check -addr ":$$PORT" 2>/dev/null; do
	kill -0 $$server 2>/dev/null || { wait $$server; exit $$?; }
	sleep 0.1
done
export SERVER_URL="http://localhost:$$PORT"
keep client1 bin/client & client1=$$!
keep client2 bin/client & client2=$$!
wait $$client1 && wait $$client2 || exit $$?
say "the count is complete: $$(bin/server -verify "$$DATA/numbers.txt")"
endef
run: export run := $(run)
run: export INTERVAL := $(INTERVAL)
run: export LIMIT := $(LIMIT)
run: export DATA := $(DATA)
run: export PORT := $(PORT)
run:
	@echo "make run: building, which takes a minute the first time"
	@$(MAKE) --no-print-directory build
	@exec sh -c "$$run"

kill-server kill-client1 kill-client2: kill-%:
	@kill -9 "$$(cat bin/$(PORT)-$*.pid)" || { echo "no make run with PORT=$(PORT) has a running $*"; exit 1; }

# How many packages are tested at the same time. Most tests wait most of the time.
AT_ONCE ?= 6

# The race detector needs a C compiler.
RACE = $(if $(filter 1,$(shell CGO_ENABLED=$(CGO_ENABLED) go env CGO_ENABLED)),-race)

# Runs the tests of the packages $(1), and prints which were skipped and $(2), why.
define go-test
$(if $(RACE),,echo "running without the race detector, which needs a C compiler such as gcc";) \
	SKIPPED=$$(mktemp) && export SKIPPED && trap 'rm -f "$$SKIPPED"' EXIT && \
	go test $(RACE) -count=1 -timeout 20m -p $(AT_ONCE) $(1); code=$$?; \
	if [ -s "$$SKIPPED" ]; then \
		echo "skipped tests ($(2)), by the program that they need:"; cut -d: -f1 "$$SKIPPED" | sort | uniq -c; \
	fi; \
	exit $$code
endef

# Without the page's tests, which need a browser, and those of k8s, which compile large
# libraries of Kubernetes.
test:
	@$(call go-test,$$(go list ./server/... ./clients/... ./compat-tests/... | grep -v '/compat-tests/page$$'),make test-all runs them)

test: export WITHOUT := python,node,chromium,promtool

# Tests whose programs cannot be installed are skipped; in CI that is an error.
test-all:
	@compat-tests/setup >/dev/null || test -z "$$CI"
	@PYTHON=$$(compat-tests/setup -python); WITHOUT=$$(compat-tests/setup -missing); export PYTHON WITHOUT; \
	test -z "$$CI" || test -z "$$WITHOUT" || { echo "in CI no test may be skipped; missing: $$WITHOUT" >&2; exit 1; }; \
	$(call go-test,./...,a program is missing)

# Browsers and the race detector use all processors, so that more packages at the same
# time would only wait for each other.
test-all: AT_ONCE = 2

lint:
	go vet ./...
	go tool staticcheck ./...
	@unformatted=$$(gofmt -l .); test -z "$$unformatted" || { echo "not formatted with gofmt: $$unformatted"; exit 1; }
	go mod tidy -diff
	.ci/wording
	@for os in darwin linux windows; do echo "go build, go vet for $$os on arm64"; \
		GOOS=$$os GOARCH=arm64 CGO_ENABLED=0 go build -o /dev/null ./server && \
		GOOS=$$os GOARCH=arm64 CGO_ENABLED=0 go build -o /dev/null ./clients && \
		GOOS=$$os GOARCH=arm64 CGO_ENABLED=0 go vet ./server/... ./clients/... || exit; done

soak:
	@PYTHON=$$(compat-tests/setup) && export PYTHON && \
	SOAK=$(KILLS) RESULTS=$(CURDIR)/compat-tests/RESULTS.md go test -race -count=1 -p 1 -timeout 2h -v ./compat-tests/chaos ./compat-tests/hostile ./compat-tests/faults ./compat-tests/conformance ./compat-tests && \
	SOAK=$(KILLS) go test -count=1 -v -run TestTheMachineOfTheOwnerVanishes ./compat-tests/live && \
	SOAK=$(KILLS) RESULTS=$(CURDIR)/compat-tests/RESULTS.md go test -count=1 -timeout 2h -v ./compat-tests/siotape ./server/etcdstore

mutation:
	go run ./compat-tests/mutation -results compat-tests/RESULTS.md $(MUTATED)

fuzz:
	go run ./compat-tests/fuzz -time $(FUZZTIME) -results compat-tests/RESULTS.md

bench:
	@PYTHON=$$(compat-tests/setup) && export PYTHON && go run ./compat-tests/bench -into compat-tests/RESULTS.md
	RESULTS=$(CURDIR)/compat-tests/RESULTS.md go test -run '^$$' -bench . -benchtime $(BENCHTIME) -benchmem ./server/...

images:
	docker build --build-arg VERSION=$(VERSION) -f server/Dockerfile -t counting-server:local .
	docker build --build-arg VERSION=$(VERSION) -f clients/Dockerfile -t counting-client:local .

e2e:
	k8s/e2e $(OVERLAY)

clean:
	rm -rf bin
