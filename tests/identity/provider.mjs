// An OpenID provider of others (npm `oidc-provider`) as the one that the gateway's users sign in
// with: discovery, PKCE, nonce, `iss` in answers, userinfo, one confidential client, no dynamic
// registration. Nobody needs a browser: whoever comes with `login_hint`, or with the header
// `x-sign-in-as`, is signed in as that; everybody else gets a form.
//
//   CLIENT_ID, CLIENT_SECRET   of the gateway
//   CLIENT_AUTH                client_secret_basic (default) or client_secret_post
//   REDIRECT_URIS              of the gateway, separated by commas
//   ID_TOKEN_CLAIMS=1          claims are in the ID token and not only in userinfo
//   HOST                       name in the issuer (default 127.0.0.1)
//   TLS_CERT, TLS_KEY, PORT, LOG  see serve.mjs
//
// Users: every name is one. Who is called premium-... has the tier premium, everybody else free;
// the part after an @ is the team, `acme` without one.

import { randomBytes } from 'node:crypto';

import { exportJWK, generateKeyPair } from 'jose';
import Provider from 'oidc-provider';

import { fields, page, redirect, serve, signInForm } from './serve.mjs';

const {
  CLIENT_ID = 'sallygate',
  CLIENT_SECRET = 'canary-not-a-real-oidc-client-secret',
  CLIENT_AUTH = 'client_secret_basic',
  REDIRECT_URIS = 'http://127.0.0.1:9/auth/callback',
  ID_TOKEN_CLAIMS,
  HOST = '127.0.0.1',
} = process.env;

/** What is known about a user. */
const claimsOf = user => {
  const [name, team = 'acme'] = user.split('@');
  return {
    sub: name,
    name: `User ${name}`,
    preferred_username: name,
    email: `${name}@${team}.example`,
    email_verified: true,
    tier: name.startsWith('premium') ? 'premium' : 'free',
    team,
    roles: name.startsWith('admin') ? ['admin'] : ['member'],
  };
};

/** One signing key a family, so that the gateway has to choose by `kid` and `alg`. */
async function keys() {
  const made = [];
  for (const alg of ['RS256', 'ES256']) {
    const { privateKey } = await generateKeyPair(alg, { extractable: true });
    made.push({ ...(await exportJWK(privateKey)), alg, use: 'sig', kid: `proof-${alg}` });
  }
  return { keys: made };
}

const configuration = async () => ({
  clients: [
    {
      client_id: CLIENT_ID,
      client_secret: CLIENT_SECRET,
      redirect_uris: REDIRECT_URIS.split(','),
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: CLIENT_AUTH,
    },
  ],
  jwks: await keys(),
  cookies: { keys: [randomBytes(32).toString('hex')] },
  pkce: { required: () => true },
  claims: {
    openid: ['sub'],
    email: ['email', 'email_verified'],
    profile: ['name', 'preferred_username', 'tier', 'team', 'roles'],
  },
  conformIdTokenClaims: !ID_TOKEN_CLAIMS,
  findAccount: (_, id) => ({ accountId: id, claims: () => claimsOf(id) }),
  features: { devInteractions: { enabled: false } },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  // Consent towards a first-party client is no question.
  async loadExistingGrant(ctx) {
    const grant = new ctx.oidc.provider.Grant({
      clientId: ctx.oidc.client.clientId,
      accountId: ctx.oidc.session.accountId,
    });
    grant.addOIDCScope('openid email profile offline_access');
    await grant.save();
    return grant;
  },
  ttl: { AccessToken: 600, AuthorizationCode: 60, IdToken: 600, Interaction: 300, Session: 3600, Grant: 3600 },
});

let provider;

/** Ends an interaction with a user, or without one. */
const finish = (request, response, user) =>
  provider.interactionFinished(
    request,
    response,
    user
      ? { login: { accountId: user } }
      : { error: 'access_denied', error_description: 'the user said no' },
  );

async function interaction(request, response, url) {
  const { params } = await provider.interactionDetails(request, response);
  if (request.method === 'POST') {
    const given = await fields(request);
    return finish(request, response, given.get('decision') === 'allow' && given.get('user'));
  }
  const named = params.login_hint ?? request.headers['x-sign-in-as'];
  if (named) return finish(request, response, named);
  page(response, 200, 'Proof provider', signInForm(url.pathname, {}, 'User name'), {
    'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  });
}

const { origin } = await serve(
  'provider',
  (request, response, url) => {
    if (url.pathname.startsWith('/interaction/')) return interaction(request, response, url);
    if (url.pathname === '/') return redirect(response, '/.well-known/openid-configuration');
    return provider.callback()(request, response);
  },
  {
    host: HOST,
    async ready(origin) {
      provider = new Provider(origin, await configuration());
      provider.on('server_error', (_, error) => console.error(error));
      for (const event of ['authorization.error', 'grant.error', 'userinfo.error']) {
        provider.on(event, (_, error) => console.error(event, error.message, error.error_detail ?? ''));
      }
    },
  },
);
console.error(`users sign in at ${origin}`);
