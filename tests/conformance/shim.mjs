// Gives the conformance suite a token. The suite cannot send an Authorization header, so this
// stands in front of the gateway and writes one into the head of every request. It works on bytes:
// everything else, from the case of a header name to the spaces around its value, arrives as sent,
// because those are what the suite tests. Answers are not looked at.
//
//   node shim.mjs LISTEN_PORT TARGET_PORT [TOKEN]      prints one JSON line when it listens

import net from 'node:net';

const [listenPort, targetPort, token] = process.argv.slice(2);
const HEAD_END = Buffer.from('\r\n\r\n');
const LINE_END = Buffer.from('\r\n');

/** Splits what a client sends into heads and bodies, and lets `rewrite` change the heads. */
class Requests {
  constructor(rewrite) {
    this.rewrite = rewrite;
    this.rest = Buffer.alloc(0);
    this.state = 'head';
    this.left = 0;
  }

  /** Takes the next bytes, returns those that can go on. */
  push(chunk) {
    this.rest = Buffer.concat([this.rest, chunk]);
    const out = [];
    for (let step = this.step(); step !== null; step = this.step()) out.push(step);
    return Buffer.concat(out);
  }

  step() {
    if (this.state === 'head') return this.upTo(HEAD_END, head => this.head(head));
    if (this.state === 'size') return this.upTo(LINE_END, line => this.size(line));
    if (this.state === 'trailer') return this.upTo(LINE_END, line => this.trailer(line));
    return this.body();
  }

  upTo(mark, use) {
    const at = this.rest.indexOf(mark);
    return at < 0 ? null : use(this.take(at + mark.length));
  }

  take(count) {
    const taken = this.rest.subarray(0, count);
    this.rest = this.rest.subarray(count);
    return taken;
  }

  head(head) {
    const text = head.toString('latin1');
    const length = /^content-length:[ \t]*(\d+)/im.exec(text);
    const chunked = /^transfer-encoding:.*chunked/im.test(text);
    this.left = length ? Number(length[1]) : 0;
    this.state = chunked ? 'size' : this.left > 0 ? 'body' : 'head';
    return Buffer.from(this.rewrite(text), 'latin1');
  }

  body() {
    if (this.rest.length === 0) return null;
    const part = this.take(Math.min(this.left, this.rest.length));
    this.left -= part.length;
    if (this.left === 0) this.state = this.state === 'chunk' ? 'size' : 'head';
    return part;
  }

  size(line) {
    const size = Number.parseInt(line.toString('latin1'), 16);
    this.state = size === 0 ? 'trailer' : 'chunk';
    this.left = size + LINE_END.length;
    return line;
  }

  trailer(line) {
    if (line.length === LINE_END.length) this.state = 'head';
    return line;
  }
}

/** Puts the token behind the request line, in place of whatever was there. */
function authorize(head) {
  if (!token) return head;
  const [first, ...lines] = head.split('\r\n');
  const others = lines.filter(line => !/^authorization:/i.test(line));
  return [first, `Authorization: Bearer ${token}`, ...others].join('\r\n');
}

const server = net.createServer({ noDelay: true, allowHalfOpen: false }, downstream => {
  const upstream = net.connect({ host: '127.0.0.1', port: Number(targetPort), noDelay: true });
  const requests = new Requests(authorize);
  downstream.on('data', chunk => {
    const out = requests.push(chunk);
    if (out.length > 0 && !upstream.write(out)) {
      downstream.pause();
      upstream.once('drain', () => downstream.resume());
    }
  });
  upstream.pipe(downstream);
  // One side going away is news for the other: a modern client cancels by leaving.
  for (const [one, other] of [[downstream, upstream], [upstream, downstream]]) {
    one.on('error', () => other.destroy());
    one.on('close', () => other.destroy());
  }
});

server.listen(Number(listenPort), '127.0.0.1', () => {
  const { port } = server.address();
  console.log(JSON.stringify({ port, url: `http://127.0.0.1:${port}/mcp` }));
});
