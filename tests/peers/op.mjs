// An OpenID provider for the tests: npm `oidc-provider`, on loopback.
//
//   OP_SETTINGS='{"port":0,"clients":[…],"accounts":{"alice":{…}}}' node op.mjs
//
// Prints one JSON line, {"issuer":…}, when it is ready. With `login_hint=auto:NAME` it signs
// NAME in without a page; otherwise it shows its own sign-in page, where any password does.
// An account's `acr` is how strongly it authenticates. `prompts` is what its discovery document says of them. POST /_test/accounts with a JSON object
// replaces the accounts. GET /logout?client_id=…&logout_uri=… is AWS Cognito's way to log out: it asks nothing, and
// goes to a registered `logout_uri` without a `state`. GET /_test/logouts tells the logout tokens that it sent, GET /_test/sids the sessions' ids by subject.
import crypto from 'node:crypto';
import http from 'node:http';
import Provider, { interactionPolicy } from 'oidc-provider';

const settings = JSON.parse(process.env.OP_SETTINGS ?? '{}');
let accounts = settings.accounts ?? {};
const logouts = [];
const sids = {};

const server = http.createServer();
await new Promise((ready) => server.listen(settings.port ?? 0, '127.0.0.1', ready));
const issuer = `http://127.0.0.1:${server.address().port}`;

const key = (type, options, extra) => ({
  ...crypto.generateKeyPairSync(type, options).privateKey.export({ format: 'jwk' }),
  use: 'sig',
  ...extra,
});

// Its own policy knows no `select_account`, which a relying party of ours may pass on.
const prompts = interactionPolicy.base();
prompts.add(new interactionPolicy.Prompt({ name: 'select_account', requestable: true }), 0);

const provider = new Provider(issuer, {
  clients: (settings.clients ?? []).map((client) => ({
    grant_types: ['authorization_code', 'refresh_token'],
    response_types: ['code'],
    ...client,
  })),
  jwks: {
    keys: [
      key('rsa', { modulusLength: 2048 }, { kid: 'rsa-1' }),
      key('ec', { namedCurve: 'P-256' }, { kid: 'ec-1', alg: 'ES256' }),
      key('ed25519', {}, { kid: 'ed-1' }),
    ],
  },
  cookies: { keys: [crypto.randomBytes(16).toString('hex')] },
  scopes: ['openid', 'offline_access', 'profile', 'email', 'groups'],
  claims: {
    openid: ['sub'],
    profile: ['acr', 'name', 'given_name', 'family_name', 'preferred_username', 'department'],
    email: ['email', 'email_verified', 'xms_edov'],
    groups: ['groups', 'cognito:groups'],
  },
  acrValues: ['gold', 'silver'],
  conformIdTokenClaims: settings.conformIdTokenClaims ?? false,
  findAccount: (_context, id) =>
    accounts[id] && { accountId: id, claims: async () => ({ sub: id, ...accounts[id] }) },
  pkce: { required: () => true },
  // Consent is not what is tested here: it is given at once.
  loadExistingGrant: async ({ oidc: { client, session, provider, result } }) => {
    const known = result?.consent?.grantId || session.grantIdFor(client.clientId);
    if (known) return provider.Grant.find(known);
    const grant = new provider.Grant({ clientId: client.clientId, accountId: session.accountId });
    grant.addOIDCScope('openid offline_access profile email groups');
    await grant.save();
    return grant;
  },
  interactions: { policy: prompts },
  discovery: settings.prompts ? { prompt_values_supported: settings.prompts } : {},
  features: {
    backchannelLogout: { enabled: true },
    devInteractions: { enabled: true },
    rpInitiatedLogout: { enabled: true },
  },
  // Its own connects to no loopback address, where everything is in the tests.
  fetch: (url, { method, headers, body, signal } = {}) => {
    const token = new URLSearchParams(String(body ?? '')).get('logout_token');
    if (token) logouts.push(token);
    return fetch(url, { method, headers, body, signal });
  },
  enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
  ttl: { Session: 86400, Interaction: 3600, Grant: 86400, IdToken: 3600, AccessToken: 3600, AuthorizationCode: 60 },
});

const { loginAccount } = provider.Session.prototype;
provider.Session.prototype.loginAccount = function withAcr(details) {
  return loginAccount.call(this, { ...details, acr: accounts[details.accountId]?.acr });
};

provider.use(async (context, next) => {
  const hint = context.path === '/auth' ? String(context.query.login_hint ?? '') : '';
  if (hint.startsWith('auto:') && !/(^|;\s*)_session=/.test(context.headers.cookie ?? '')) {
    const session = new provider.Session({});
    session.loginAccount({ accountId: hint.slice(5) });
    await session.save(86400);
    context.req.headers.cookie = [context.headers.cookie, `_session=${session.id}`].filter(Boolean).join('; ');
  }
  await next();
});

provider.on('authorization.success', ({ oidc: { client, session } }) => {
  sids[session.accountId] = session.sidFor(client.clientId);
});

// Like Cognito: the session's cookies go, and the address comes back as it was registered, or nothing does.
const cognitosLogout = (url, response) => {
  const { client_id: id, logout_uri: to } = Object.fromEntries(url.searchParams);
  const client = (settings.clients ?? []).find((known) => known.client_id === id);
  if (!client?.post_logout_redirect_uris?.includes(to)) return void response.writeHead(400).end('redirect_mismatch');
  const gone = ['_session', '_session.sig'].map((name) => `${name}=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT`);
  response.writeHead(302, { location: to, 'set-cookie': gone }).end();
};

const handle = provider.callback();
server.on('request', (request, response) => {
  if (request.method === 'POST' && request.url === '/_test/accounts') {
    let body = '';
    request.on('data', (part) => (body += part));
    request.on('end', () => {
      accounts = JSON.parse(body);
      response.end('{}');
    });
    return;
  }
  if (request.url.startsWith('/logout?')) return cognitosLogout(new URL(request.url, issuer), response);
  if (request.url === '/_test/logouts') return void response.end(JSON.stringify(logouts));
  if (request.url === '/_test/sids') return void response.end(JSON.stringify(sids));
  handle(request, response);
});
console.log(JSON.stringify({ issuer }));
