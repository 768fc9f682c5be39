// Cookies as a browser keeps them (RFC 6265bis): host only unless a domain is named, the promises of
// the prefixes `__Host-` and `__Secure-`, Secure, SameSite, expiry; nothing of public suffixes. Kept
// in a file, so that one browser can be started again and again.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';

export class Jar {
  constructor(file) {
    this.file = file;
    this.cookies = file && existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : [];
  }

  /** Takes what an answer sets; returns what was refused, and why. */
  take(url, lines) {
    const refused = [];
    for (const line of lines) {
      const cookie = parse(url, line);
      if (typeof cookie === 'string') {
        refused.push(`${cookie}: ${line.split('=')[0]}`);
        continue;
      }
      this.cookies = this.cookies.filter(
        one => one.name !== cookie.name || one.host !== cookie.host || one.path !== cookie.path,
      );
      if (cookie.until > Date.now()) this.cookies.push(cookie);
    }
    if (this.file && lines.length) writeFileSync(this.file, JSON.stringify(this.cookies), { mode: 0o600 });
    return refused;
  }

  /** The Cookie header for a navigation; `foreign` is whether another site began it. */
  header(url, { foreign, safe }) {
    return this.cookies
      .filter(one => one.until > Date.now())
      .filter(one => (one.hostOnly ? url.hostname === one.host : endsIn(url.hostname, one.host)))
      .filter(one => url.pathname === one.path || url.pathname.startsWith(one.path.replace(/\/?$/, '/')))
      .filter(one => !one.secure || url.protocol === 'https:')
      .filter(one => !foreign || one.sameSite === 'none' || (one.sameSite === 'lax' && safe))
      .map(one => `${one.name}=${one.value}`)
      .join('; ');
  }
}

const endsIn = (host, domain) => host === domain || host.endsWith(`.${domain}`);

function parse(url, line) {
  const [pair, ...rest] = line.split(';').map(part => part.trim());
  const at = pair.indexOf('=');
  if (at < 1) return 'has no name';
  const attribute = Object.fromEntries(
    rest.map(part => {
      const [name, ...value] = part.split('=');
      return [name.toLowerCase(), value.join('=')];
    }),
  );
  const name = pair.slice(0, at);
  const domain = attribute.domain?.replace(/^\./, '').toLowerCase();
  const cookie = {
    name,
    value: pair.slice(at + 1),
    host: domain || url.hostname,
    hostOnly: !domain,
    path: attribute.path?.startsWith('/') ? attribute.path : url.pathname.replace(/\/[^/]*$/, '') || '/',
    secure: 'secure' in attribute,
    httpOnly: 'httponly' in attribute,
    sameSite: (attribute.samesite ?? 'lax').toLowerCase(),
    until: until(attribute),
  };
  const https = url.protocol === 'https:';
  if (cookie.secure && !https) return 'Secure, but came over http';
  if (domain && !endsIn(url.hostname, domain)) return 'for somebody else';
  if (cookie.sameSite === 'none' && !cookie.secure) return 'SameSite=None without Secure';
  if (/^__(secure|host)-/i.test(name) && !cookie.secure) return 'prefix without Secure';
  if (/^__host-/i.test(name) && (domain || attribute.path !== '/')) return '__Host- with a domain or path';
  return cookie;
}

function until(attribute) {
  if (attribute['max-age'] !== undefined) return Date.now() + Number(attribute['max-age']) * 1000;
  if (attribute.expires) return Date.parse(attribute.expires);
  return Number.MAX_SAFE_INTEGER;
}
