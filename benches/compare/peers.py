"""The proxies that are compared, each with the configuration that a careful operator would give it and one worker."""

import os
import shutil
import subprocess
from pathlib import Path

import keys as made

# Longer than any measurement.
FOREVER = 600
# More than are ever opened.
CONNECTIONS = 20000


class Missing(Exception):
    """A program that is not on this machine."""


class Peer:
    """One proxy, or one way to configure it. `write` makes its files and answers the command that starts it."""

    name = ""
    checks = ""
    # Peers that are rows of their own only where they differ.
    only = None

    def binary(self):
        raise NotImplementedError

    def version(self):
        return ""

    def write(self, folder, port, upstream, keys):
        raise NotImplementedError

    def environment(self):
        return {}


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
        return said([self.binary(), "-v"])

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


class Sallygate(Peer):
    """Everything on: TLS 1.3, tokens of a foreign issuer, quota, policy with tool lists, audit to disk, metrics."""

    name = "sallygate"
    checks = "RS256 token, quota, policy, lists, audit, metrics"
    tools = 'disabled: ["task_*_delete"]'

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
limits: {{ connections: {CONNECTIONS} }}
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

    name = "sallygate, all tools allowed"
    checks = "the same"
    tools = 'enabled: ["*"]'
    only = {"list"}


def everybody(load, folder):
    """All peers, in the order of the table."""
    binary = os.environ.get("SALLYGATE_BIN", "")
    return [
        Direct(load),
        Nginx(),
        Sallygate(binary),
        SallygateOpen(binary),
    ]
