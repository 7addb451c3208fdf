# Recipes call the scripts that continuous integration calls.

# Format, lints, tests, documentation, dependencies
check:
    .ci/run

# All tests; installs what they need
test *ARGS:
    scripts/test.sh {{ARGS}}

# The tests that compare with files kept in the repository
golden:
    cargo test --workspace --locked -- golden snapshot

# Take today's outputs as the expected ones; review the difference like code
bless:
    INSTA_UPDATE=always cargo test --workspace --locked
    git diff --stat

# Fuzzes a target (`scripts/fuzz.sh --list`): needs nightly and cargo-fuzz
fuzz TARGET SECONDS="3600":
    scripts/fuzz.sh {{TARGET}} {{SECONDS}}

# What attacks the sensor itself: memory, time and refusals of each kind, as a table
hostile *ARGS:
    scripts/hostile.sh {{ARGS}}

# How many honest clients are convicted: worlds without attackers, with crowds that look like attacks
honest *ARGS:
    scripts/honest.sh {{ARGS}}

# What each part of the judgement is worth, beside a model over features of the log; --capture and --truth for traffic of one's own
ablation *ARGS:
    scripts/ablation.sh {{ARGS}}

# Memory that a million clients known at the same time take
clients *ARGS:
    scripts/clients.sh {{ARGS}}

# Random input for the decoders, longer than the tests do it
proptest CASES="20000":
    PROPTEST_CASES={{CASES}} cargo test --release --locked -p sidetap-wire -p sidetap-capture -p sidetap-sensitive

# Live capture against nginx's own log, in network namespaces (root): SECONDS, PAUSE_MS, CONNECTIONS
live *ARGS:
    scripts/live.sh {{ARGS}}

# Odd requests to real servers on loopback (nginx, Node.js, Apache, Caddy, gunicorn, Go, Python): what they say that they served against what Sidetap saw (root)
differential *ARGS:
    scripts/differential.py {{ARGS}}

# What attacks from ever new addresses achieve against a shop: without enforcement, by addresses, by fingerprints at HAProxy, nginx and Envoy (root)
outcome *ARGS:
    scripts/outcome.sh {{ARGS}}

# What policies would have stopped of a labelled capture, by kind of connector and by the labels, and the rules suggested: CAPTURE REQUESTS
stopped *ARGS:
    scripts/stopped.py {{ARGS}}

# From the first packet of an attack to the verdict, and on to its effect, by device (root): ROUNDS
latency *ARGS:
    scripts/latency.sh {{ARGS}}

# CPU time, rate and memory of the whole process beside other tools
bench *ARGS:
    scripts/bench.sh {{ARGS}}

# Time of a lookup and memory of a table that `sidetap intel update` made
intel-lookups TABLE:
    cargo run --release --locked -p sidetap-intel --example lookups -- {{TABLE}}

# Licences, bans, advisories
deny:
    cargo deny --locked check

# Documentation of all crates
docs:
    cargo doc --workspace --no-deps --locked --document-private-items

# The console's pages: build them (the next cargo build takes them in), check their parts, drive them in Chromium
console *WHAT:
    scripts/console.sh {{WHAT}}

# Build, analyse the sample (or the files named), show the report
demo *FILES:
    scripts/demo.sh {{FILES}}

# The description of the console's API as the code says it, into docs/openapi.json
openapi:
    SIDETAP_BLESS=1 cargo test --locked -p sidetap-console --test console committed

# A store with the findings of 10 million exchanges: what each page waits for, and its first paint: EXCHANGES, ROUNDS
console-large *ARGS:
    scripts/console-large.sh {{ARGS}}

# What heads that clients may choose cost a device with a script at its door: PORT PID [BYTES]
heads *ARGS:
    scripts/heads.py {{ARGS}}

# The console under 5,000 connections that say nothing or trickle: URL, CONNECTIONS, SECONDS
slow-clients *ARGS:
    scripts/slow-clients.py {{ARGS}}

# Ask the console's API everything its description allows, and what it does not (schemathesis): EXAMPLES of each operation
api *ARGS:
    scripts/api.sh {{ARGS}}

# Log in to the console by a real provider of OpenID Connect (npm's oidc-provider), on loopback
sso *ARGS:
    scripts/sso.sh {{ARGS}}

# Kill a live watch at any moment: how old the newest request in its store is then (root): BINARY, ROUNDS, REQUESTS_PER_SECOND
kill-live *ARGS:
    scripts/kill-live.py {{ARGS}}

# Kill a replay with enforcement again and again; is the store whole, do actions and audit agree with the device: TIMES
kill-loop *ARGS:
    scripts/kill-loop.sh {{ARGS}}

# Connectors against the devices that are installed: from a verdict to its effect, and 100,000 entries
connectors *ARGS:
    cargo nextest run -p sidetap-mitigation --run-ignored only --test-threads 1 --success-output immediate {{ARGS}}

# What 100,000 entries take on each device that runs here, as a table (docs/benchmarks.md).
connectors-full *ARGS:
    scripts/connectors-full.sh {{ARGS}}
