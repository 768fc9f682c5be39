# shellcheck shell=bash
# shellcheck disable=SC2154,SC2034  # variables of those who source this, and for them
# The world of tests/identity: certificates, a server behind the gateway, login providers, the gateway
# or what stands in for it. Sourced after outside.sh.

# How long access tokens live, in seconds; and the tool that needs more than a new user has.
lifetime=5
step_up=danger_delete
# Nothing here is anybody's.
oidc_secret=canary-not-a-real-oidc-client-secret
clickup_secret=canary-not-a-real-clickup-client-secret
github_secret=canary-not-a-real-github-client-secret

# A certificate authority and a certificate for localhost and 127.0.0.1 that it signed: two names,
# because ports do not make a site, and the provider is to be another site than the gateway.
certificates() {
  (
    cd "$work"
    umask 077
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 \
      -subj "/CN=Sallygate proof" -addext "keyUsage=critical,keyCertSign,cRLSign" \
      -keyout ca.key -out ca.pem
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
      -subj "/CN=localhost" -keyout tls.key -out tls.csr
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1,DNS:mcp.example.com\nextendedKeyUsage=serverAuth\n' >tls.ext
    openssl x509 -req -in tls.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 90 \
      -extfile tls.ext -out tls.pem
  ) >"$work/openssl.log" 2>&1 || fail "openssl made no certificate: $(tail -3 "$work/openssl.log")"
}

# Everything that this proof knows about the gateway's configuration: port, server behind it, state folder, public
# port, store.
gateway_config() {
  local port=$1 upstream=$2 state=$3 public=${4:-$1} store=${5:-}
  # Without the Redis nobody is let in before the short access tokens end.
  [ -z "$store" ] || printf '%s\n' "store: { url: '$store' }" "sessions: { key_file: $work/session.key }" \
    "revocation: { stale_after: 1s }"
  cat <<YAML
listen:
  address: 127.0.0.1:$port
  public_url: https://localhost:$public
  tls:
    cert_file: $work/tls.pem
    key_file: $work/tls.key
state_dir: $state
auth:
  # Otherwise a token would be good for as much longer as clocks may differ.
  leeway: 0s
  keys:
    - kid: proof
      secret_file: $work/key
login:
  providers:
    - name: proof
      kind: oidc
      label: Proof provider
      issuer: $provider_url
      client_id: sallygate
      client_secret: $oidc_secret
      ca_file: $work/ca.pem
      claims: { tier: tier, team: team, roles: roles }
    - name: liar
      kind: oidc
      label: A provider that lies
      issuer: $liar_url
      client_id: sallygate
      client_secret: $oidc_secret
      ca_file: $work/ca.pem
    - name: clickup
      kind: clickup
      label: ClickUp
      client_id: SALLYGATEPROOF
      client_secret: $clickup_secret
      ca_file: $work/ca.pem
      authorize_url: $clickup_url/api
      token_url: $clickup_url/api/v2/oauth/token
      api_url: $clickup_url/api
    - name: github
      kind: github
      label: GitHub
      client_id: Iv1.proof
      client_secret: $github_secret
      ca_file: $work/ca.pem
      authorize_url: $github_url/login/oauth/authorize
      token_url: $github_url/login/oauth/access_token
      api_url: $github_url/api/v3
oauth:
  access_token_lifetime: ${lifetime}s
  client_documents:
    allow_hosts: [localhost]
    ca_file: $work/ca.pem
quotas:
  default_tier: free
  tiers:
    free: { per_minute: 100000, concurrency: 64 }
    premium: { per_minute: 100000, concurrency: 64 }
routes:
  - name: fixture
    path: /fixture
    upstream:
      url: $upstream
    required_scopes: [mcp:read]
    # Some clients ask for everything that is offered here, and would never need more.
    scopes_supported: [mcp:read]
    tools:
      scopes:
        $step_up: ["mcp:write"]
metrics:
  address: 127.0.0.1:0
YAML
}

# What disables a user, as a JSON array: user, configuration.
disable_command() {
  if [ -n "${STAND_IN:-}" ]; then
    printf '["curl","-fsS","--cacert","%s/ca.pem","-X","POST","%s/stand-in/disable?user=%s"]' \
      "$work" "$issuer" "$1"
  else
    printf '["%s","user","disable","%s","--config","%s"]' "$gateway" "$1" "${2:-$work/sallygate.yaml}"
  fi
}

# Programs that clients take for the browser of the machine.
browsers() {
  local name
  bin=$work/bin
  mkdir -p "$bin"
  # `gio open URL` has the address last; and whoever opens a browser does not learn how it went on.
  printf '#!/bin/sh\nunset NODE_OPTIONS\nfor last; do :; done\n%s %s/agent.mjs "$last" >>"$AGENT_LOG.out" 2>&1\nexit 0\n' \
    "$node" "$home" >"$bin/xdg-open"
  chmod +x "$bin/xdg-open"
  for name in x-www-browser www-browser sensible-browser gio; do cp "$bin/xdg-open" "$bin/$name"; done
}

# The address of a registered public client (RFC 7591) with one redirect address.
client_for() {
  curl -fsS --cacert "$work/ca.pem" -H 'content-type: application/json' "$issuer/oauth/register" -d \
    "{\"client_name\":\"Conformance suite\",\"redirect_uris\":[\"$1\"],\"token_endpoint_auth_method\":\"none\"}" |
    "$node" -p 'JSON.parse(require("fs").readFileSync(0, "utf8")).client_id'
}

# Starts everything; leaves $issuer, $route_url, $documents_url and $bin.
raise_world() {
  local port
  export NODE_EXTRA_CA_CERTS=$work/ca.pem
  export TLS_CERT=$work/tls.pem TLS_KEY=$work/tls.key
  browsers
  start fixture "$fixture" --listen 127.0.0.1:0 --log "$work/fixture.jsonl"
  upstream=$url
  port=$(free_port)
  issuer=https://localhost:$port
  route_url=$issuer/fixture
  fleet_port=$(free_port)
  export REDIRECT_URIS=$issuer/auth/callback,https://localhost:$fleet_port/auth/callback
  LOG=$work/provider.jsonl start provider "$node" "$home/provider.mjs"
  provider_url=$url
  LOG=$work/clickup.jsonl start clickup "$node" "$home/clickup.mjs"
  clickup_url=$url
  LOG=$work/github.jsonl start github "$node" "$home/github.mjs"
  github_url=$url
  LOG=$work/liar.jsonl start liar "$node" "$home/liar.mjs"
  liar_url=$url
  LOG=$work/documents.jsonl start documents "$node" "$home/documents.mjs"
  documents_url=$url
  if [ -n "${STAND_IN:-}" ]; then stand_in "$port" "$upstream"; else open_gateway "$port" "$upstream"; fi
  unset NODE_EXTRA_CA_CERTS TLS_CERT TLS_KEY
}

stand_in() {
  local as="\"issuer\":\"$provider_url\",\"client_id\":\"sallygate\",\"client_secret\":\"$oidc_secret\""
  export STAND_IN_PROVIDERS="[{\"name\":\"proof\",\"label\":\"Proof provider\",$as},{\"name\":\"other\",\"label\":\"Another\",$as}]"
  PORT=$1 STAND_IN_UPSTREAM=$2 STAND_IN_LIFETIME=$lifetime STAND_IN_STEP_UP=$step_up LOG=$work/stand-in.jsonl \
    start stand-in "$node" "$home/stand_in.mjs"
}

open_gateway() {
  local random=("$node" -p 'require("crypto").randomBytes(32).toString("hex")')
  (umask 077 && "${random[@]}" >"$work/key" && "${random[@]}" >"$work/session.key")
  ENCRYPTION_KEY=$("${random[@]}")
  export ENCRYPTION_KEY
  (umask 077 && gateway_config "$1" "$2" "$work/state" >"$work/sallygate.yaml")
  run_gateway gateway "$1" "$work/sallygate.yaml"
}

# Name, port, configuration.
run_gateway() {
  "$gateway" run --config "$3" >"$work/$1.out" 2>"$work/$1.err" &
  started+=("$!")
  await_port "$1" "$2" "$!"
}

# Two gateways on one Redis, behind one address that gives each connection to the next of them. Leaves $fleet_url,
# $redis_port, $redis_pid and $redis, the command that starts the Redis.
raise_fleet() {
  local one port ports=() password=canary-not-a-real-redis-password
  redis_port=$(free_port)
  mkdir -p "$work/redis"
  redis=("$REDIS_SERVER" --bind 127.0.0.1 --port "$redis_port" --dir "$work/redis" --save ''
    --appendonly yes --appendfsync always --requirepass "$password")
  "${redis[@]}" >"$work/redis.out" 2>&1 &
  redis_pid=$!
  started+=("$redis_pid")
  await_port redis "$redis_port" "$redis_pid"
  for one in one two; do
    port=$(free_port)
    ports+=("$port")
    (umask 077 && gateway_config "$port" "$upstream" "$work/state-$one" "$fleet_port" \
      "redis://:$password@127.0.0.1:$redis_port/0" >"$work/$one.yaml")
    run_gateway "$one" "$port" "$work/$one.yaml"
  done
  PORT=$fleet_port PORTS="${ports[*]}" start balancer "$node" "$home/balancer.mjs"
  fleet_url=https://localhost:$fleet_port/fixture
}
