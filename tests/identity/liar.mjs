// An OpenID provider that lies in its ID tokens, each time as its user is called: `nonce`, `issuer`,
// `audience`, `key`, `unsigned`, `past`; whoever is called otherwise gets a good one.
//
//   CLIENT_ID                     of the gateway
//   TLS_CERT, TLS_KEY, PORT, LOG  see serve.mjs

import { randomBytes } from 'node:crypto';

import { exportJWK, generateKeyPair, SignJWT } from 'jose';

import { fields, page, redirect, send, serve, signInForm } from './serve.mjs';

const { CLIENT_ID = 'sallygate' } = process.env;
const known = await generateKeyPair('ES256', { extractable: true });
const foreign = await generateKeyPair('ES256');
const codes = new Map();
let issuer;

async function authorize(request, response, url) {
  const given = request.method === 'POST' ? await fields(request) : url.searchParams;
  const kept = ['redirect_uri', 'state', 'nonce'];
  if (request.method !== 'POST') {
    const hidden = Object.fromEntries(kept.map(key => [key, given.get(key) ?? '']));
    return page(response, 200, 'A provider that lies', signInForm(url.pathname, hidden, 'The lie'));
  }
  const code = randomBytes(16).toString('hex');
  codes.set(code, { user: given.get('user'), nonce: given.get('nonce') });
  const back = new URL(given.get('redirect_uri'));
  back.searchParams.set('code', code);
  back.searchParams.set('state', given.get('state'));
  redirect(response, back);
}

/** An ID token with the lie that its user is called after. */
function idToken({ user, nonce }) {
  const now = Math.floor(Date.now() / 1000);
  const at = user === 'past' ? now - 7200 : now;
  const said = {
    iss: user === 'issuer' ? 'https://somebody-else.example' : issuer,
    aud: user === 'audience' ? 'another-client' : CLIENT_ID,
    sub: user,
    nonce: user === 'nonce' ? 'of-another-sign-in' : nonce,
    iat: at,
    exp: at + 600,
  };
  if (user === 'unsigned') {
    const part = value => Buffer.from(JSON.stringify(value)).toString('base64url');
    return `${part({ alg: 'none' })}.${part(said)}.`;
  }
  const key = user === 'key' ? foreign : known;
  return new SignJWT(said).setProtectedHeader({ alg: 'ES256', kid: 'liar' }).sign(key.privateKey);
}

async function token(request, response) {
  const code = (await fields(request)).get('code');
  const spent = codes.get(code);
  codes.delete(code);
  if (!spent) return send(response, 400, { error: 'invalid_grant' });
  send(response, 200, {
    access_token: randomBytes(16).toString('hex'),
    token_type: 'Bearer',
    expires_in: 600,
    id_token: await idToken(spent),
  });
}

await serve(
  'liar',
  async (request, response, url) => {
    switch (url.pathname) {
      case '/.well-known/openid-configuration':
        return send(response, 200, {
          issuer,
          authorization_endpoint: `${issuer}/authorize`,
          token_endpoint: `${issuer}/token`,
          jwks_uri: `${issuer}/keys`,
          response_types_supported: ['code'],
          subject_types_supported: ['public'],
          id_token_signing_alg_values_supported: ['ES256'],
          code_challenge_methods_supported: ['S256'],
        });
      case '/authorize':
        return authorize(request, response, url);
      case '/token':
        return token(request, response);
      case '/keys':
        return send(response, 200, {
          keys: [{ ...(await exportJWK(known.publicKey)), kid: 'liar', alg: 'ES256', use: 'sig' }],
        });
      default:
        return page(response, 404, 'Not found', '');
    }
  },
  { ready: origin => void (issuer = origin) },
);
