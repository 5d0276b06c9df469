#!/usr/bin/env python3
"""Makes the seeds of the fuzz targets that are signed, and the public keys that check them.

Run as `tests/peers/.venv/bin/python3 tests/fuzz/seeds.py` after `make setup-test`. The private keys are made here and
thrown away: nobody can sign anything else with them, so whatever a fuzz target takes as signed says what a seed says,
or there is a hole. That is what the targets check.
"""

import base64
import datetime
import hashlib
import json
import pathlib
import secrets
import urllib.parse
import zlib

import xmlsec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils
from lxml import etree

HERE = pathlib.Path(__file__).parent
# As in tests/src/fuzz/saml.rs.
NOW = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.timezone.utc)
ENTITY = "https://sp.example.net/metadata"
BASE = "https://login.example.com/saml/guard"
SAMLP = "urn:oasis:names:tc:SAML:2.0:protocol"
SAML = "urn:oasis:names:tc:SAML:2.0:assertion"
RSA_SHA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"


def write(target, name, data):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def certificate(key):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sp.example.net")])
    built = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    built = built.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + datetime.timedelta(days=36500))
    return built.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def message(name, place, attributes="", inside=""):
    issued = NOW.strftime("%Y-%m-%dT%H:%M:%SZ")
    return (
        f'<samlp:{name} xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" ID="_seed-1" Version="2.0" IssueInstant="{issued}"'
        f' Destination="{BASE}/{place}"{attributes}><saml:Issuer>{ENTITY}</saml:Issuer>{inside}</samlp:{name}>'
    )


def enveloped(key_pem, text):
    root = etree.fromstring(text)
    root.set("ID", "_seed-1")
    xmlsec.tree.add_ids(root, ["ID"])
    signature = xmlsec.template.create(root, xmlsec.constants.TransformExclC14N, xmlsec.constants.TransformRsaSha256, ns="ds")
    root.insert(1, signature)
    reference = xmlsec.template.add_reference(signature, xmlsec.constants.TransformSha256, uri="#_seed-1")
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformEnveloped)
    xmlsec.template.add_transform(reference, xmlsec.constants.TransformExclC14N)
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(key_pem, xmlsec.constants.KeyDataFormatPem)
    context.sign(signature)
    return etree.tostring(root)


def redirect(key, text):
    deflated = zlib.compress(text.encode(), 9)[2:-4]
    query = urllib.parse.urlencode(
        {"SAMLRequest": base64.b64encode(deflated), "RelayState": "r s", "SigAlg": RSA_SHA256},
        quote_via=urllib.parse.quote,
    )
    signature = key.sign(query.encode(), padding.PKCS1v15(), hashes.SHA256())
    return query + "&Signature=" + urllib.parse.quote(base64.b64encode(signature), safe="")


def saml():
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (HERE / "keys" / "service-provider.pem").write_bytes(certificate(key))
    wants = f'<samlp:RequestedAuthnContext Comparison="exact"><saml:AuthnContextClassRef>urn:mfa</saml:AuthnContextClassRef></samlp:RequestedAuthnContext>'
    login = message("AuthnRequest", "sso", ' ForceAuthn="true"', wants)
    subject = "<saml:NameID>ann@example.com</saml:NameID><samlp:SessionIndex>_s-1</samlp:SessionIndex>"
    logout = message("LogoutRequest", "slo", "", subject)
    for target, text in (("authn_request", login), ("logout_request", logout)):
        write(target, "enveloped.xml", enveloped(pem, text))
        write(target, "redirect.query", redirect(key, text))
        write(target, "unsigned.xml", text)
        deflated = base64.b64encode(zlib.compress(text.encode(), 9)[2:-4])
        write(target, "unsigned.query", urllib.parse.urlencode({"SAMLRequest": deflated, "RelayState": "r"}))
        # The oldest trick: what is signed is within, what is read is without.
        write(target, "wrapped.xml", text.replace("_seed-1", "_other").replace("</saml:Issuer>", "</saml:Issuer>" + enveloped(pem, text).decode()))
    doctype = '<!DOCTYPE a [<!ENTITY b "c"><!ENTITY d SYSTEM "file:///etc/passwd">]>'
    write("authn_request", "doctype.xml", doctype + login.replace(ENTITY, "&b;&d;"))


def part(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, length):
    return part(value.to_bytes(length, "big"))


def tokens():
    ec_key = ec.generate_private_key(ec.SECP256R1())
    ed_key = ed25519.Ed25519PrivateKey.generate()
    rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    point, modulus = ec_key.public_key().public_numbers(), rsa_key.public_key().public_numbers()
    raw = ed_key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    keys = [
        {"kty": "EC", "crv": "P-256", "kid": "ec", "x": number(point.x, 32), "y": number(point.y, 32)},
        {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": part(raw)},
        {"kty": "RSA", "kid": "rsa", "n": number(modulus.n, 256), "e": "AQAB"},
    ]
    (HERE / "keys" / "jwks.json").write_text(json.dumps({"keys": keys}, indent=1) + "\n")
    claims = part(json.dumps({"iss": "https://idp.example", "sub": "ann", "aud": ["app"], "admin": False}).encode())

    def es256(data):
        r, s = utils.decode_dss_signature(ec_key.sign(data, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    signers = {
        "ec": ("ES256", es256),
        "ed": ("EdDSA", ed_key.sign),
        "rsa": ("RS256", lambda data: rsa_key.sign(data, padding.PKCS1v15(), hashes.SHA256())),
    }
    for kid, (algorithm, sign) in signers.items():
        head = part(json.dumps({"alg": algorithm, "kid": kid, "typ": "JWT"}).encode())
        write("tokens", f"{kid}.jwt", f"{head}.{claims}.{part(sign(f'{head}.{claims}'.encode()))}")
    forged = part(json.dumps({"alg": "none", "typ": "JWT"}).encode())
    write("tokens", "none.jwt", f"{forged}.{claims}.")
    shared = part(json.dumps({"alg": "HS256", "kid": "rsa", "typ": "JWT"}).encode())
    write("tokens", "shared.jwt", f"{shared}.{claims}.{part(b'0' * 32)}")


def packs():
    """A pack (host/src/policy/pack.rs) with contents that are none, signed as minisign does."""
    key, key_id = ed25519.Ed25519PrivateKey.generate(), secrets.token_bytes(8)
    raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    public = base64.b64encode(b"Ed" + key_id + raw).decode()
    (HERE / "keys" / "packer.pub").write_text(f"untrusted comment: minisign public key\n{public}\n")

    def sign(data, comment="pack 1.0.0"):
        signature = key.sign(hashlib.blake2b(data).digest())
        both = base64.b64encode(key.sign(signature + comment.encode())).decode()
        head = base64.b64encode(b"ED" + key_id + signature).decode()
        return f"untrusted comment: a seed\n{head}\ntrusted comment: {comment}\n{both}\n".encode()

    def pack(statement, signatures, contents, magic=b"vestibule-pack/1\n"):
        lengths = len(statement).to_bytes(4, "little") + len(signatures).to_bytes(4, "little")
        head = magic + lengths + statement + signatures
        return head + hashlib.sha256(head).digest() + contents

    parts = [b'{"name":"a"}', b"{}", b"\x7fELF native code"]
    contents = b"".join(parts)
    limits = {"memory-bytes-max": 1, "table-elements-max": 1, "stack-bytes-max": 1}
    said = {
        "kind": "vestibule-pack-statement/1",
        "version": "1.0.0",
        "made-for": {
            "vestibule": "0.1.0", "wasmtime": "0.0.0", "target": "x86_64-linux", "contract": "vestibule:policy@0.1.0",
            "limits": limits, "interpreter-limits": limits,
        },
        "contents": "sha256:" + hashlib.sha256(contents).hexdigest(),
        "policies": [{
            "name": "a", "version": "0.1.0", "component": "c" * 64, "settings": "5" * 64, "form": "records", "signers": [],
            "manifest-bytes": len(parts[0]), "settings-bytes": len(parts[1]), "code-bytes": len(parts[2]),
        }],
    }
    statement = json.dumps(said, indent=2).encode()
    other = statement.replace(b"1.0.0", b"2.0.0")
    write("packs", "good.pack", pack(statement, sign(statement), contents))
    write("packs", "forged.pack", pack(other, sign(statement), contents))
    write("packs", "contents.pack", pack(statement, sign(statement), contents.upper()))
    write("packs", "unsigned.pack", pack(statement, b"", contents))
    write("packs", "future.pack", pack(statement, sign(statement), contents, b"vestibule-pack/2\n"))
    write("packs", "lengths.pack", b"vestibule-pack/1\n" + b"\xff" * 8 + statement)
    write("packs", "statement.json", statement)


def texts():
    targets = [
        "/", "/jira/browse/AB-1?a=b#c", "https://app.example.com/x?y=1", "https://wiki.example.com:443/", "//evil.example",
        "https://a.partner.example/x", "https://app.example.com@evil.example/", "https:/\\evil.example", "/\t/evil.example",
        "https://evil.example/?https://app.example.com/", "https://app.example.com.evil.example/", "javascript:alert(1)",
        "https://app.example.com%2f@evil.example/", "/%2e%2e//evil.example", "https://xn--pp-yka.example.com/", "http://app.example.com/",
        "https://`.partner.example/x",
    ]
    paths = [
        "/", "/secure/admin", "/a/../b", "/a/./b//c", "/a;x/..;/b", "/%61dmin", "/%2e%2e/x", "/a%2fb", "/a?b=/../c", "/%C3%A4", "/%ff", "/a\\b",
    ]
    cookies = [b"\x01", b"\x01; \x02", b"\x02; \x01", b"\x01; \x01", b"a=b; \x01; c=\"d\"; \x02", b"__Host-vestibule-app-jira=2.v1.x.y; __Host-vestibule-app-jira.1=z"]
    for target, seeds in (("redirect_targets", targets), ("paths", paths), ("cookies", cookies)):
        for index, seed in enumerate(seeds):
            write(target, f"{index:02}", seed)


if __name__ == "__main__":
    (HERE / "keys").mkdir(exist_ok=True)
    saml()
    tokens()
    packs()
    texts()
