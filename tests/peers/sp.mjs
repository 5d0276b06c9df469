// A SAML service provider with npm `@node-saml/node-saml`; as `sp.py`, but for the logout.
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { SAML, ValidateInResponseTo, generateServiceProviderMetadata } from '@node-saml/node-saml';

const { port, folder, idp } = JSON.parse(process.env.SP_SETTINGS);
const base = `http://127.0.0.1:${port}`;
const privateKey = fs.readFileSync(path.join(folder, 'sp.key'), 'utf8');
const publicCert = fs.readFileSync(path.join(folder, 'sp.crt'), 'utf8');
const requests = new Map();
const cacheProvider = {
  saveAsync: async (key, value) => (requests.set(key, value), { value, createdAt: Date.now() }),
  getAsync: async (key) => requests.get(key) ?? null,
  removeAsync: async (key) => (requests.delete(key), key),
};

async function party(more = {}) {
  const metadata = await (await fetch(idp)).text();
  const certificates = [...metadata.matchAll(/<ds:X509Certificate>([^<]*)</g)].map(([, text]) => text);
  const location = metadata.match(/<md:SingleSignOnService [^>]*Location="([^"]*)"/)[1];
  const issuer = metadata.match(/entityID="([^"]*)"/)[1];
  return new SAML({
    issuer: `${base}/metadata`,
    audience: `${base}/metadata`,
    callbackUrl: `${base}/acs`,
    entryPoint: location,
    idpIssuer: issuer,
    idpCert: certificates,
    privateKey,
    publicCert,
    signatureAlgorithm: 'sha256',
    digestAlgorithm: 'sha256',
    wantAssertionsSigned: true,
    wantAuthnResponseSigned: true,
    validateInResponseTo: ValidateInResponseTo.always,
    cacheProvider,
    ...more,
  });
}

const server = http.createServer(async (request, response) => {
  const url = new URL(request.url, base);
  const answer = (status, kind, text, headers = {}) =>
    response.writeHead(status, { 'content-type': kind, ...headers }).end(text);
  try {
    if (url.pathname === '/metadata') {
      const xml = generateServiceProviderMetadata({
        issuer: `${base}/metadata`,
        callbackUrl: `${base}/acs`,
        identifierFormat: 'urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress',
        wantAssertionsSigned: true,
        publicCerts: publicCert,
        privateKey,
        signMetadata: false,
      });
      answer(200, 'application/samlmetadata+xml', xml);
    } else if (url.pathname === '/login') {
      const relay = url.searchParams.get('relay') ?? '';
      const authnRequestBinding = url.searchParams.get('binding') === 'post' ? 'HTTP-POST' : undefined;
      const saml = await party({ authnRequestBinding });
      if (authnRequestBinding) answer(200, 'text/html', await saml.getAuthorizeFormAsync(relay, base));
      else answer(302, 'text/plain', '', { location: await saml.getAuthorizeUrlAsync(relay, base, {}) });
    } else if (url.pathname === '/acs') {
      let body = '';
      for await (const chunk of request) body += chunk;
      const form = Object.fromEntries(new URLSearchParams(body));
      const told = { relay_state: form.RelayState, response: form.SAMLResponse };
      try {
        const { profile } = await (await party()).validatePostResponseAsync(form);
        const { attributes, nameID, nameIDFormat, sessionIndex } = profile;
        const lists = Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, [value].flat()]));
        Object.assign(told, {
          authenticated: true, name_id: nameID, format: nameIDFormat, session: sessionIndex, attributes: lists, error: null,
        });
      } catch (error) {
        Object.assign(told, { authenticated: false, error: String(error) });
      }
      answer(200, 'application/json', JSON.stringify(told));
    } else {
      answer(404, 'text/plain', '');
    }
  } catch (error) {
    answer(500, 'text/plain', String(error?.stack ?? error));
  }
});
server.listen(port, '127.0.0.1', () => console.log(JSON.stringify({ base })));
