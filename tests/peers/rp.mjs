// A relying party for the tests: npm `openid-client`, on loopback.
//
//   RP_SETTINGS='{"port":8000,"issuer":"…","client_id":"…","client_secret":"…","scope":"openid"}' node rp.mjs
//
// With `pushes`, it pushes its requests first. With `dpop`, an algorithm, it proves a key of its own (RFC 9449). `authentication` says how it proves itself (`private_key_jwt` with `key`, a private JWK).
//
// Prints one JSON line when it is ready. GET /login begins a login; its query is asked for, too. Its end, /cb, answers with what
// came of the code, of refreshing, of asking about the tokens and of taking them back. GET /logout
// ends the session at the provider. POST /backchannel takes a logout token, which npm `jose` verifies; the
// first `failures` of them it answers with 503. GET /sessions says which sessions live, and what was told.
//
// A browser has a session by its cookie: GET /me says whose. GET /frontchannel, in a frame, ends the one that the
// frame's cookie names, if it is the one that the address names (OpenID Connect Front-Channel Logout 1.0 §3).
import http from 'node:http';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import * as client from 'openid-client';

const settings = JSON.parse(process.env.RP_SETTINGS);
const algorithms = {
  ES256: { name: 'ECDSA', namedCurve: 'P-256' },
  RS256: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' },
};
const signingKey = async ({ alg, kid, ...jwk }) => ({
  key: await crypto.subtle.importKey('jwk', jwk, algorithms[alg], false, ['sign']),
  kid,
});
const authentication = await {
  client_secret_basic: () => client.ClientSecretBasic(settings.client_secret),
  client_secret_post: () => client.ClientSecretPost(settings.client_secret),
  private_key_jwt: async () => client.PrivateKeyJwt(await signingKey(settings.key)),
  none: () => client.None(),
}[settings.authentication ?? 'client_secret_post']();
const own = `http://127.0.0.1:${settings.port}`;
const pending = new Map();
let config;
let proving;
let last;
let failures = settings.failures ?? 0;
let keys;
const sessions = new Set();
// Cookies do not tell ports apart.
const cookie = `rp-${settings.port}`;
const ofCookie = (request) =>
  (request.headers.cookie ?? '').split('; ').find((pair) => pair.startsWith(`${cookie}=`))?.slice(cookie.length + 1);
const told = [];

const failure = async (what) => {
  try {
    await what();
    return null;
  } catch (error) {
    return error.error ?? error.message;
  }
};

const begin = async (more) => {
  // Not before the provider is there.
  config ??= await client.discovery(
    new URL(settings.issuer),
    settings.client_id,
    { id_token_signed_response_alg: settings.algorithm ?? 'ES256' },
    authentication,
    // Without the latter it does not look at signatures.
    { execute: [client.allowInsecureRequests, client.enableNonRepudiationChecks] },
  );
  proving ??= settings.dpop && {
    DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair(settings.dpop)),
  };
  const [verifier, state, nonce] = [client.randomPKCECodeVerifier(), client.randomState(), client.randomNonce()];
  pending.set(state, { verifier, nonce });
  const build = settings.pushes ? client.buildAuthorizationUrlWithPAR : client.buildAuthorizationUrl;
  const asked = {
    redirect_uri: `${own}/cb`,
    scope: settings.scope,
    state,
    nonce,
    code_challenge: await client.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    ...more,
  };
  // Pushed, the proof says which key it is.
  if (proving && !settings.pushes) asked.dpop_jkt = await proving.DPoP.calculateThumbprint();
  return build(config, asked, settings.pushes ? proving : undefined);
};

const complete = async (url) => {
  const state = url.searchParams.get('state');
  const { verifier, nonce } = pending.get(state);
  const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce };
  const tokens = await client.authorizationCodeGrant(config, url, checks, undefined, proving);
  last = tokens.id_token;
  const claims = tokens.claims();
  sessions.add(claims.sid);
  const report = {
    server: config.serverMetadata(),
    claims,
    type: tokens.token_type,
    userinfo: await client.fetchUserInfo(config, tokens.access_token, claims.sub, proving),
  };
  if (proving) {
    const thief = { DPoP: client.getDPoPHandle(config, await client.randomDPoPKeyPair(settings.dpop)) };
    report.stolen = [
      (await fetch(report.server.userinfo_endpoint, { headers: { authorization: `Bearer ${tokens.access_token}` } })).status,
      (await failure(() => client.fetchUserInfo(config, tokens.access_token, claims.sub, thief))) !== null,
    ];
    if (settings.thief) {
      report.thief = await failure(() => client.refreshTokenGrant(config, tokens.refresh_token, undefined, thief));
      report.owner = await failure(() => client.refreshTokenGrant(config, tokens.refresh_token, undefined, proving));
      return report;
    }
  }
  if (!tokens.refresh_token) return report;
  const active = async (token) => (await client.tokenIntrospection(config, token)).active;
  const next = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, proving);
  last = next.id_token ?? last;
  report.refreshed = next.claims();
  report.active = [await active(next.access_token), await active(next.refresh_token)];
  if (url.searchParams.has('keep') || settings.keep) {
    report.refresh_token = next.refresh_token;
    return report;
  }
  await client.tokenRevocation(config, next.refresh_token);
  report.revoked = [await active(next.access_token), await active(next.refresh_token)];
  report.after_revocation = await failure(() => client.refreshTokenGrant(config, next.refresh_token, undefined, proving));
  report.reused = await failure(() => client.refreshTokenGrant(config, tokens.refresh_token, undefined, proving));
  return report;
};

// OpenID Connect Back-Channel Logout 1.0 §2.6.
const loggedOut = async (request) => {
  let body = '';
  for await (const chunk of request) body += chunk;
  const token = new URLSearchParams(body).get('logout_token');
  const { issuer, jwks_uri } = config.serverMetadata();
  keys ??= createRemoteJWKSet(new URL(jwks_uri));
  const { payload, protectedHeader } = await jwtVerify(token, keys, {
    issuer,
    audience: settings.client_id,
    typ: 'logout+jwt',
    algorithms: [settings.algorithm ?? 'ES256'],
    requiredClaims: ['iat', 'exp', 'jti', 'events', 'sid', 'sub'],
    maxTokenAge: 120,
  });
  if (!payload.events['http://schemas.openid.net/event/backchannel-logout']) throw new Error('no logout token');
  if ('nonce' in payload) throw new Error('a nonce');
  told.push({ ...payload, token, type: request.headers['content-type'], taken: failures <= 0 });
  if (failures-- > 0) return 503;
  return sessions.delete(payload.sid) ? 200 : 400;
};

const framed = (url, request) => {
  const { iss, sid } = Object.fromEntries(url.searchParams);
  const ended = iss === config?.serverMetadata().issuer && sid === ofCookie(request) && sessions.delete(sid);
  told.push({ iss, sid, site: request.headers['sec-fetch-site'], frame: request.headers['sec-fetch-dest'], ended });
};

const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, own);
  try {
    if (url.pathname === '/login') {
      response.writeHead(303, { location: (await begin(Object.fromEntries(url.searchParams))).href }).end();
    } else if (url.pathname === '/cb') {
      const report = await complete(url);
      response.setHeader('set-cookie', `${cookie}=${report.claims.sid}; Path=/; HttpOnly; SameSite=Lax`);
      response.end(JSON.stringify(report));
    } else if (url.pathname === '/me') {
      const sid = ofCookie(request);
      response.end(JSON.stringify({ session: sessions.has(sid) ? sid : null }));
    } else if (url.pathname === '/frontchannel') {
      framed(url, request);
      response.writeHead(200, { 'cache-control': 'no-store', 'content-type': 'text/html' }).end('<!doctype html>');
    } else if (url.pathname === '/backchannel' && request.method === 'POST') {
      response.writeHead(await loggedOut(request), { 'cache-control': 'no-store' }).end();
    } else if (url.pathname === '/sessions') {
      response.end(JSON.stringify({ sessions: [...sessions], told }));
    } else if (url.pathname === '/refresh') {
      const token = url.searchParams.get('token');
      response.end(JSON.stringify({ refused: await failure(() => client.refreshTokenGrant(config, token)) }));
    } else if (url.pathname === '/logout') {
      const to = client.buildEndSessionUrl(config, { id_token_hint: last, post_logout_redirect_uri: `${own}/bye` });
      response.writeHead(303, { location: to.href }).end();
    } else {
      response.end(JSON.stringify({ path: url.pathname }));
    }
  } catch (error) {
    const said = error.response?.bodyUsed === false ? await error.response.text() : undefined;
    const cause = String(error.error ?? said ?? error.cause ?? '');
    response.writeHead(500).end(JSON.stringify({ error: String(error), cause }));
  }
});
server.listen(settings.port, '127.0.0.1', () => console.log(JSON.stringify({ ready: own })));
