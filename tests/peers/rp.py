"""A relying party for the tests: authlib, with requests, on loopback.

RP_SETTINGS is JSON: port, issuer, client_id, scope, and client_secret or key (a private JWK). Prints one line when it is
ready.

/login   begins a login with PKCE
/cb      takes the code, and says in JSON what came of it: of the code, of userinfo, of refreshing, of revoking
"""

import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from authlib.common.security import generate_token
from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.oauth2.rfc7523 import PrivateKeyJWT
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

SETTINGS = json.loads(os.environ["RP_SETTINGS"])
OWN = f"http://127.0.0.1:{SETTINGS['port']}"
pending = {}


def session(server, **more):
    key = SETTINGS.get("key")
    secret = ECKey.import_key(key) if key else SETTINGS["client_secret"]
    method = "private_key_jwt" if key else "client_secret_basic"
    own = OAuth2Session(
        SETTINGS["client_id"],
        secret,
        scope=SETTINGS["scope"],
        redirect_uri=f"{OWN}/cb",
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        code_challenge_method="S256",
        **more,
    )
    if key:
        headers = {"kid": key["kid"]}
        own.register_client_auth_method(PrivateKeyJWT(server["token_endpoint"], headers=headers, alg="ES256"))
    own.trust_env = False
    return own


def discover():
    with OAuth2Session() as plain:
        plain.trust_env = False
        ask = lambda url: plain.request("GET", url, withhold_token=True).json()
        server = ask(f"{SETTINGS['issuer']}/.well-known/openid-configuration")
        return server, KeySet.import_key_set(ask(server["jwks_uri"]))


def begin():
    server, _ = discover()
    verifier, nonce = generate_token(48), generate_token(20)
    own = session(server)
    url, state = own.create_authorization_url(server["authorization_endpoint"], code_verifier=verifier, nonce=nonce)
    pending[state] = (verifier, nonce)
    return url


def claims_of(token, keys, server, **more):
    claims = jwt.decode(token, keys, algorithms=["ES256"]).claims
    own = {"iss": server["issuer"], "aud": SETTINGS["client_id"], **more}
    registry = jwt.JWTClaimsRegistry(
        exp={"essential": True}, iat={"essential": True}, **{n: {"essential": True, "value": v} for n, v in own.items()}
    )
    registry.validate(claims)
    return claims


def complete(path):
    server, keys = discover()
    state = dict(p.split("=", 1) for p in urlsplit(path).query.split("&"))["state"]
    verifier, nonce = pending.pop(state)
    own = session(server, state=state)
    token = own.fetch_token(server["token_endpoint"], authorization_response=OWN + path, code_verifier=verifier)
    report = {"claims": claims_of(token["id_token"], keys, server, nonce=nonce)}
    report["userinfo"] = own.get(server["userinfo_endpoint"]).json()
    first = token["refresh_token"]
    renewed = own.refresh_token(server["token_endpoint"], refresh_token=first)
    report["refreshed"] = claims_of(renewed["id_token"], keys, server)
    report["renewed"] = renewed["refresh_token"] != first
    report["revoked"] = own.revoke_token(server["revocation_endpoint"], renewed["refresh_token"]).status_code
    report["afterwards"] = own.get(server["userinfo_endpoint"]).status_code
    try:
        own.refresh_token(server["token_endpoint"], refresh_token=first)
    except OAuthError as error:
        report["reused"] = error.error
    return report


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            if self.path.startswith("/login"):
                self.send_response(303)
                self.send_header("Location", begin())
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            status, said = 200, complete(self.path)
        except Exception as error:  # what is wrong is for the test to see
            status, said = 500, {"error": repr(error)}
        body = json.dumps(said).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", SETTINGS["port"]), Handler)
print(json.dumps({"ready": OWN}), flush=True)
server.serve_forever()
