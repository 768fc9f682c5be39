// A browser without a screen: follows redirects, keeps cookies, says with every request where it comes
// from (Sec-Fetch-*, Origin) as browsers do, and does on a page what a user would: chooses the login
// provider, says who they are, consents. It runs no script, so every page has to work without one.
//
//   import { Agent } from './agent.mjs'
//   node agent.mjs URL      what clients start as the browser
//
//   AGENT_USER       who signs in (default alice)
//   AGENT_PROVIDER   which provider is chosen where there are several (default the first)
//   AGENT_DECISION   allow (default) or deny
//   AGENT_JAR        file with the cookies
//   AGENT_LOG        file that gets one JSON line a page, form and link

import { appendFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { fileURLToPath } from 'node:url';

import { read } from './html.mjs';
import { Jar } from './jar.mjs';

/** So many requests for one errand; whoever needs more goes round in circles. */
const MOST = 30;
const LARGEST = 1 << 20;

export class Agent {
  constructor({ user, provider, decision, jar, log } = {}) {
    this.user = user ?? process.env.AGENT_USER ?? 'alice';
    this.provider = provider ?? process.env.AGENT_PROVIDER;
    this.decision = decision ?? process.env.AGENT_DECISION ?? 'allow';
    this.jar = new Jar(jar ?? process.env.AGENT_JAR);
    this.log = log ?? process.env.AGENT_LOG;
  }

  /**
   * Opens an address and goes on until there is nothing left to do, or until `stopAt`, an address
   * without its query, is reached; that is then not asked for. Answers the last address, and every page
   * on the way with what was done there.
   */
  async open(address, { stopAt, look } = {}) {
    const visit = { pages: [], redirects: 0 };
    let next = { url: new URL(address), method: 'GET', from: undefined, chain: [] };
    for (let count = 0; count < MOST; count += 1) {
      if (stopAt && `${next.url.origin}${next.url.pathname}` === stopAt) {
        return { ...visit, url: next.url };
      }
      const answer = await this.request(next);
      const location = answer.headers.location;
      if ([301, 302, 303, 307, 308].includes(answer.status) && location) {
        visit.redirects += 1;
        next = this.follow(next, answer.status, new URL(location, next.url));
        continue;
      }
      const shown = this.see(next.url, answer);
      visit.pages.push(shown);
      next = look?.(shown) === false ? undefined : this.act(shown);
      if (!next) return { ...visit, url: shown.url, last: shown };
    }
    throw new Error(`went round in circles, last at ${next.url.origin}${next.url.pathname}`);
  }

  follow(from, status, url) {
    const keeps = status === 307 || status === 308;
    return {
      url,
      method: keeps ? from.method : 'GET',
      form: keeps ? from.form : undefined,
      from: from.from,
      chain: [...from.chain, from.url],
    };
  }

  see(url, answer) {
    const isPage = /^text\/html/.test(answer.headers['content-type'] ?? '');
    const shown = { url, status: answer.status, headers: answer.headers, body: answer.body };
    this.write('page', url, { status: answer.status });
    return isPage ? { ...shown, ...read(answer.body) } : { ...shown, title: '', forms: [], links: [], text: answer.body };
  }

  /** What a user does next on a page; nothing where nothing is asked. */
  act(shown) {
    const form = shown.forms.find(asks);
    if (form && shown.status < 400) return this.submit(shown, form);
    const choices = shown.links.filter(one => /[?&]provider=/.test(one.href ?? ''));
    const link = choices.find(one => !this.provider || new URL(one.href, shown.url).searchParams.get('provider') === this.provider);
    if (!link) return undefined;
    const url = new URL(link.href, shown.url);
    this.write('choose', url, { text: link.text });
    shown.did = link.text;
    return { url, method: 'GET', from: shown.url, chain: [] };
  }

  submit(shown, form) {
    const button = form.buttons.find(one => one.value === this.decision) ?? form.buttons[0];
    const given = new URLSearchParams();
    for (const field of form.fields) {
      const value = field.type === 'text' && !field.value ? this.user : field.value;
      given.append(field.name, value);
    }
    if (button.name) given.append(button.name, button.value);
    const url = new URL(form.action || shown.url, shown.url);
    this.write('submit', url, { button: button.text });
    shown.did = button.text;
    if (form.method === 'post') {
      return { url, method: 'POST', form: `${given}`, from: shown.url, chain: [] };
    }
    url.search = `${given}`;
    return { url, method: 'GET', from: shown.url, chain: [] };
  }

  async request({ url, method, form, from, chain }) {
    if (!['http:', 'https:'].includes(url.protocol)) throw new Error(`no browser opens ${url.protocol}`);
    const site = fetchSite(from, [...chain, url]);
    const headers = {
      accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
      'accept-language': 'en',
      'user-agent': 'Mozilla/5.0 (X11; Linux x86_64) proof-agent',
      'sec-fetch-site': site,
      'sec-fetch-mode': 'navigate',
      'sec-fetch-dest': 'document',
      ...(from && method === 'GET' && chain.length ? {} : { 'sec-fetch-user': '?1' }),
    };
    const cookie = this.jar.header(url, {
      foreign: Boolean(from) && siteOf(from) !== siteOf(url),
      safe: method === 'GET',
    });
    if (cookie) headers.cookie = cookie;
    if (form !== undefined) {
      headers['content-type'] = 'application/x-www-form-urlencoded';
      headers['content-length'] = Buffer.byteLength(form);
      // A request that a foreign redirect led here has an origin that is nobody's.
      headers.origin = chain.some(one => one.origin !== from.origin) ? 'null' : from.origin;
    }
    const answer = await exchange(url, { method, headers }, form);
    const refused = this.jar.take(url, [answer.headers['set-cookie'] ?? []].flat());
    for (const one of refused) this.write('cookie refused', url, { cookie: one });
    return answer;
  }

  write(event, url, more) {
    if (!this.log) return;
    const line = { at: Date.now(), event, url: `${url.origin}${url.pathname}`, user: this.user, ...more };
    appendFileSync(this.log, `${JSON.stringify(line)}\n`);
  }
}

/** A question to whoever signs in; a button that signs out is none. */
const asks = form =>
  form.buttons.some(one => one.name === 'decision') ||
  form.fields.some(one => one.type === 'text' || one.type === 'select');

/** Scheme and host: as far as cookies and Sec-Fetch-Site distinguish, ports aside. */
const siteOf = url => `${url.protocol}//${url.hostname}`;

/** Fetch Metadata, section 2.4: the farthest that any address on the way is from whoever began. */
export function fetchSite(from, chain) {
  if (!from) return 'none';
  if (chain.some(one => siteOf(one) !== siteOf(from))) return 'cross-site';
  return chain.every(one => one.origin === from.origin) ? 'same-origin' : 'same-site';
}

/** One request over a connection of its own, so that whoever stands behind one address takes turns. */
export function exchange(url, options, form) {
  return new Promise((done, failed) => {
    const { request: begin } = url.protocol === 'https:' ? https : http;
    const request = begin(url, { ...options, agent: false }, response => {
      const parts = [];
      let size = 0;
      response.on('data', part => {
        size += part.length;
        if (size > LARGEST) request.destroy(new Error('the page is too large'));
        parts.push(part);
      });
      response.on('end', () =>
        done({
          status: response.statusCode,
          headers: response.headers,
          body: Buffer.concat(parts).toString('utf8'),
        }),
      );
      response.on('error', failed);
    });
    request.setTimeout(15_000, () => request.destroy(new Error(`no answer from ${url.origin}`)));
    request.on('error', failed);
    request.end(form);
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const agent = new Agent();
  try {
    const asked = new URL(process.argv[2]);
    agent.write('begin', asked, { scope: asked.searchParams.get('scope') });
    const { url, last } = await agent.open(asked.href);
    agent.write('end', url, { status: last?.status, title: last?.title });
    if (last && last.status >= 400) {
      console.error(`${last.status} at ${url.origin}${url.pathname}: ${last.text.slice(0, 500)}`);
      process.exit(1);
    }
  } catch (error) {
    agent.write('failed', new URL(process.argv[2]), { error: `${error.message}` });
    console.error(error);
    process.exit(1);
  }
}
