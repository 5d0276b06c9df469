"""A SAML service provider, with python3-saml or with pysaml2.

SP_SETTINGS is JSON: kind (`python3-saml` or `pysaml2`), port, folder (with `sp.key` and
`sp.crt`), idp (the URL of the identity provider's metadata), `security`, which python3-saml
takes as it is, `unsolicited`, `slo` and `delay`, in seconds before a logout is answered, for pysaml2, and `host`, by which it calls itself. With `slo` = `post` its
logout messages come by forms, and answers to `/slo-answer`. Prints one line when it is ready.

/metadata            its own metadata
/login?binding=post  begins a login; `force=1`, `passive=1`, `relay=…`
/acs                 takes a response, and says in JSON what came of it
/logout              begins a logout; `binding=post`, with pysaml2
/slo                 takes the answer to it, and says in JSON what came of it; with pysaml2 it takes a request, too,
                     ends the browser's session, and answers
/me                  with pysaml2: who is logged in, by the browser's cookie
"""

import json, os, pathlib, secrets, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

SETTINGS = json.loads(os.environ["SP_SETTINGS"])
PORT, FOLDER = SETTINGS["port"], pathlib.Path(SETTINGS["folder"])
HOST = f"{SETTINGS.get('host', '127.0.0.1')}:{PORT}"
BASE = f"http://{HOST}"
EMAIL = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
SHA256 = "http://www.w3.org/2001/04/xmlenc#sha256"
# Cookies do not tell ports apart.
COOKIE = f"sp-{PORT}"


def idp_metadata():
    with urllib.request.urlopen(SETTINGS["idp"]) as answer:
        return answer.read().decode()


class OneLogin:
    """python3-saml"""

    def __init__(self):
        self.request_id = self.logout_id = None
        self.session = {}

    def settings(self, with_idp=True):
        from onelogin.saml2.idp_metadata_parser import OneLogin_Saml2_IdPMetadataParser as Parser

        own = {
            "strict": True,
            "sp": {
                "entityId": f"{BASE}/metadata",
                "assertionConsumerService": {"url": f"{BASE}/acs"},
                "singleLogoutService": {"url": f"{BASE}/slo"},
                "NameIDFormat": EMAIL,
                "x509cert": (FOLDER / "sp.crt").read_text(),
                "privateKey": (FOLDER / "sp.key").read_text(),
            },
            "security": {
                "authnRequestsSigned": True,
                "logoutRequestSigned": True,
                "wantMessagesSigned": True,
                "wantAssertionsSigned": True,
                "wantAttributeStatement": True,
                "failOnAuthnContextMismatch": True,
                "rejectDeprecatedAlgorithm": True,
                **SETTINGS.get("security", {}),
            },
        }
        return Parser.merge_settings(own, Parser.parse(idp_metadata())) if with_idp else own

    def auth(self, path, query, form):
        from onelogin.saml2.auth import OneLogin_Saml2_Auth

        get = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
        request = {
            "https": "off",
            "http_host": HOST,
            "script_name": path,
            "get_data": get,
            "post_data": form,
            "query_string": query,
        }
        return OneLogin_Saml2_Auth(request, self.settings())

    def metadata(self):
        from onelogin.saml2.settings import OneLogin_Saml2_Settings

        settings = OneLogin_Saml2_Settings(self.settings(with_idp=False), sp_validation_only=True)
        text = settings.get_sp_metadata()
        return text.decode() if isinstance(text, bytes) else text

    def login(self, path, query, asked):
        auth = self.auth(path, query, {})
        to = auth.login(
            return_to=asked.get("relay"), force_authn="force" in asked, is_passive="passive" in asked
        )
        self.request_id = auth.get_last_request_id()
        return to, None

    def acs(self, path, form):
        auth = self.auth(path, "", form)
        auth.process_response(request_id=self.request_id)
        self.session = {"name_id": auth.get_nameid(), "index": auth.get_session_index()}
        return {
            "authenticated": auth.is_authenticated(),
            "name_id": auth.get_nameid(),
            "format": auth.get_nameid_format(),
            "attributes": auth.get_attributes(),
            "session": auth.get_session_index(),
            "expires": auth.get_session_expiration(),
            "error": auth.get_last_error_reason(),
        }

    def logout(self, path, query):
        auth = self.auth(path, query, {})
        to = auth.logout(
            name_id=self.session["name_id"], session_index=self.session["index"], name_id_format=EMAIL
        )
        self.logout_id = auth.get_last_request_id()
        return to, None

    def slo(self, path, query):
        auth = self.auth(path, query, {})
        auth.process_slo(keep_local_session=True, request_id=self.logout_id)
        return {"logged_out": not auth.get_errors(), "error": auth.get_last_error_reason()}


class PySaml2:
    """pysaml2"""

    def __init__(self):
        self.outstanding, self.answered = {}, None
        # By the value of the browser's cookie.
        self.sessions = {}

    def config(self, with_idp=True):
        from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT
        from saml2.config import SPConfig

        slo = [(f"{BASE}/slo", BINDING_HTTP_REDIRECT)]
        if SETTINGS.get("slo") == "post":
            slo = [(f"{BASE}/slo", BINDING_HTTP_POST), (f"{BASE}/slo-answer", BINDING_HTTP_POST)]
            if not with_idp:
                slo = [{"location": slo[0][0], "binding": BINDING_HTTP_POST, "response_location": slo[1][0]}]
        own = {
            "entityid": f"{BASE}/metadata",
            "xmlsec_binary": "/usr/bin/xmlsec1",
            "key_file": str(FOLDER / "sp.key"),
            "cert_file": str(FOLDER / "sp.crt"),
            "allow_unknown_attributes": True,
            "signing_algorithm": RSA_SHA256,
            "digest_algorithm": SHA256,
            "service": {
                "sp": {
                    "endpoints": {
                        "assertion_consumer_service": [(f"{BASE}/acs", BINDING_HTTP_POST)],
                        "single_logout_service": slo,
                    },
                    "name_id_format": [EMAIL],
                    "allow_unsolicited": SETTINGS.get("unsolicited", False),
                    "authn_requests_signed": True,
                    "logout_requests_signed": True,
                    "want_assertions_signed": True,
                    "want_response_signed": True,
                }
            },
        }
        if with_idp:
            path = FOLDER / "idp.xml"
            path.write_text(idp_metadata())
            own["metadata"] = {"local": [str(path)]}
        return SPConfig().load(own)

    def client(self):
        from saml2.client import Saml2Client

        return Saml2Client(config=self.config())

    def metadata(self):
        from saml2.metadata import entity_descriptor

        return str(entity_descriptor(self.config(with_idp=False)))

    def login(self, path, query, asked):
        from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT

        client = self.client()
        binding = BINDING_HTTP_POST if asked.get("binding") == "post" else BINDING_HTTP_REDIRECT
        more = {"force_authn": "true"} if "force" in asked else {}
        more |= {"is_passive": "true"} if "passive" in asked else {}
        request, info = client.prepare_for_authenticate(
            relay_state=asked.get("relay", ""), binding=binding, sign=True, sigalg=RSA_SHA256, digest_alg=SHA256, **more
        )
        self.outstanding[request] = "/"
        headers = dict(info.get("headers", []))
        return headers.get("Location"), "".join(info["data"]) if binding == BINDING_HTTP_POST else None

    def acs(self, path, form):
        from saml2 import BINDING_HTTP_POST

        client = self.client()
        try:
            answer = client.parse_authn_request_response(
                form["SAMLResponse"], BINDING_HTTP_POST, self.outstanding
            )
        except Exception as error:
            return {"authenticated": False, "error": f"{type(error).__name__}: {error}"}
        # Its memory has the session.
        self.answered = client, answer
        cookie = secrets.token_urlsafe()
        self.sessions[cookie] = client, answer
        return {
            "cookie": cookie,
            "authenticated": True,
            "name_id": answer.name_id.text,
            "format": answer.name_id.format,
            "attributes": answer.ava,
            "session": answer.session_info()["session_index"],
            "error": None,
        }

    def logout(self, path, query):
        from saml2 import BINDING_HTTP_POST, BINDING_HTTP_REDIRECT

        by_form = "binding=post" in query
        client, answer = self.answered
        results = client.do_logout(
            answer.name_id,
            [answer.issuer()],
            reason="",
            expire=None,
            sign=True,
            expected_binding=BINDING_HTTP_POST if by_form else BINDING_HTTP_REDIRECT,
            sign_alg=RSA_SHA256,
            digest_alg=SHA256,
        )
        info = next(iter(results.values()))[1]
        return (None, "".join(info["data"])) if by_form else (dict(info["headers"])["Location"], None)

    def slo(self, path, query):
        from saml2 import BINDING_HTTP_REDIRECT

        return self.slo_answer(parse_qs(query)["SAMLResponse"][0], BINDING_HTTP_REDIRECT)

    def slo_answer(self, text, binding):
        answer = self.answered[0].parse_logout_request_response(text, binding)
        return {"logged_out": answer.status_ok(), "error": None}

    def slo_form(self, path, form, cookie):
        from saml2 import BINDING_HTTP_POST

        if path == "/slo-answer":
            return None, self.slo_answer(form["SAMLResponse"], BINDING_HTTP_POST)
        return self.asked_to_log_out(form, cookie, BINDING_HTTP_POST)["data"], None

    def slo_visit(self, query, cookie):
        from saml2 import BINDING_HTTP_REDIRECT

        asked = {name: values[0] for name, values in parse_qs(query).items()}
        return dict(self.asked_to_log_out(asked, cookie, BINDING_HTTP_REDIRECT)["headers"])["Location"]

    def asked_to_log_out(self, asked, cookie, binding):
        time.sleep(SETTINGS.get("delay", 0))
        # Of a browser that has no session here there is nothing to end.
        client, answer = self.sessions.get(cookie) or (self.client(), None)
        info = client.handle_logout_request(
            asked["SAMLRequest"],
            answer and answer.name_id,
            binding,
            sign=True,
            sign_alg=RSA_SHA256,
            digest_alg=SHA256,
            relay_state=asked.get("RelayState"),
            sigalg=asked.get("SigAlg"),
            signature=asked.get("Signature"),
        )
        self.sessions.pop(cookie, None)
        return info

    def me(self, cookie):
        session = self.sessions.get(cookie)
        return {"name_id": session and session[1].name_id.text}


PARTY = {"python3-saml": OneLogin, "pysaml2": PySaml2}[SETTINGS["kind"]]()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, kind, text, **headers):
        body = text.encode()
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def json(self, value, **headers):
        self.answer(200, "application/json", json.dumps(value, default=str), **headers)

    def cookie(self):
        pairs = (self.headers["cookie"] or "").split("; ")
        return next((pair[len(COOKIE) + 1 :] for pair in pairs if pair.startswith(f"{COOKIE}=")), None)

    def leave(self, to):
        self.answer(302, "text/plain", "", location=to)

    def do_GET(self):
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/metadata":
            self.answer(200, "application/samlmetadata+xml", PARTY.metadata())
        elif url.path == "/login":
            to, page = PARTY.login(url.path, url.query, asked)
            self.answer(200, "text/html", page) if page else self.leave(to)
        elif url.path == "/logout":
            to, page = PARTY.logout(url.path, url.query)
            self.answer(200, "text/html", page) if page else self.leave(to)
        elif url.path == "/me":
            self.json(PARTY.me(self.cookie()))
        elif url.path == "/slo" and "SAMLRequest" in asked:
            self.leave(PARTY.slo_visit(url.query, self.cookie()))
        elif url.path == "/slo":
            self.json(PARTY.slo(url.path, url.query))
        else:
            self.answer(404, "text/plain", "")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        form = {name: values[0] for name, values in parse_qs(body, keep_blank_values=True).items()}
        path = urlsplit(self.path).path
        if path.startswith("/slo"):
            page, told = PARTY.slo_form(path, form, self.cookie())
            return self.answer(200, "text/html", "".join(page)) if page else self.json(told)
        result = PARTY.acs(path, form)
        cookie = result.pop("cookie", None)
        headers = {"set-cookie": f"{COOKIE}={cookie}; Path=/; HttpOnly; SameSite=Lax"} if cookie else {}
        told = {**result, "relay_state": form.get("RelayState"), "response": form.get("SAMLResponse")}
        self.json(told, **headers)


server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
print(json.dumps({"base": BASE}), flush=True)
server.serve_forever()
