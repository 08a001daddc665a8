"""The certificates role: real TLS accepts and refuses what it makes, and it renews what it must."""

from __future__ import annotations

import json
import re
import shutil
import ssl
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.by_path import load
from tests.provisioning import clean_plan, playbook

SERVICES = ["app", "callback", "postgres", "redis", "fake-schwab"]
OPENSSL = shutil.which("openssl") or ""
NAMES = frozenset(["localhost", "127.0.0.1", "::1", *SERVICES])
NEEDS_OPENSSL = pytest.mark.skipif(not OPENSSL, reason="no openssl on this machine")
Made = tuple[Path, list[str]]


certificates = load("plugins/action/certificates_set.py")
WANTED = certificates.Wanted(
    names=NAMES,
    renew_before=timedelta(days=30),
    server_lifetime=timedelta(days=397),
    ca_lifetime=timedelta(days=3650),
    key_owner=-1,
)

PLAY = """
- name: Certificates
  hosts: localhost
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - name: Make
      ansible.builtin.import_role: {name: dashtam.stack.certificates}
      vars:
        certificates_directory: "{{ playbook_dir }}/certs"
        certificates_names: "{{ names }}"
        certificates_servers: "{{ servers | default({}) }}"
        certificates_days: "{{ days | default(397) }}"
    - name: Tell
      ansible.builtin.debug:
        msg: "fingerprint {{ certificates_fingerprint }} {{ certificates_files.ca_key }}"
"""


def start(folder: Path, *arguments: str, names: list[str] = SERVICES) -> subprocess.Popen[str]:
    extra = ("-e", json.dumps({"names": names}))
    return playbook.start_alone(folder, PLAY, *extra, *arguments, umask=0o077)


def play(folder: Path, *arguments: str, names: list[str] = SERVICES, code: int = 0) -> str:
    return playbook.finish(start(folder, *arguments, names=names), code)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A set as two runs at the same time make it, in a path with a space, and what they printed."""
    folder = tmp_path_factory.mktemp("a folder")
    dry = play(folder, "--check", "--diff")
    assert "fingerprint not made yet" in dry
    assert not (folder / "certs").exists()
    both = [start(folder, "-vvvvv", "--diff") for _ in range(2)]
    return folder, [playbook.finish(process) for process in both]


@pytest.fixture
def files(made: Made, tmp_path: Path) -> Any:
    """A copy of the set, to spoil."""
    shutil.copytree(made[0] / "certs", tmp_path / "certs")
    return certificates.Files(tmp_path / "certs")


def test_a_second_run_changes_nothing_and_calls_no_module(made: Made) -> None:
    output = play(made[0], "-vvv")
    assert "changed=0" in output
    assert "AnsiballZ" not in output
    assert "fingerprint not made yet" not in output


def test_no_key_is_shown_at_any_verbosity(made: Made) -> None:
    folder, outputs = made
    for output in outputs:
        assert "PRIVATE KEY" not in output
        for key in (folder / "certs" / "key.pem", folder / "certs" / "private" / "ca-key.pem"):
            assert key.read_text(encoding="ascii").splitlines()[1] not in output


def test_modes_do_not_depend_on_the_umask(made: Made) -> None:
    folder = made[0] / "certs"
    modes = {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in [folder, *folder.rglob("*")]
    }
    assert modes == {
        ".": 0o755,
        "ca.pem": 0o644,
        "cert.pem": 0o644,
        "key.pem": 0o600,
        "private": 0o700,
        "private/ca-key.pem": 0o600,
    }


def test_certificates_keep_the_rules_of_browsers_and_systems(made: Made) -> None:
    folder = made[0] / "certs"
    ca, server = (
        x509.load_pem_x509_certificate((folder / name).read_bytes()) for name in ("ca.pem", "cert.pem")
    )
    names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {str(name.value) for name in names} == NAMES
    assert server.not_valid_after_utc - server.not_valid_before_utc <= timedelta(days=825)
    assert ca.not_valid_after_utc - ca.not_valid_before_utc > timedelta(days=3600)
    usages = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.SERVER_AUTH]
    for certificate, is_ca in ((ca, True), (server, False)):
        basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        assert basic.critical
        assert basic.value.ca is is_ca
        assert certificate.extensions.get_extension_for_class(x509.KeyUsage).critical
        assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    constraints = ca.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert {str(name.value) for name in constraints.value.permitted_subtrees or []} == {
        "localhost",
        *SERVICES,
        "127.0.0.0/8",
        "::1/128",
    }


@NEEDS_OPENSSL
def test_openssl_verifies_the_chain(made: Made) -> None:
    folder = made[0] / "certs"
    options = [
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-CAfile",
        str(folder / "ca.pem"),
        str(folder / "cert.pem"),
    ]
    command = [OPENSSL, "verify", *options]
    subprocess.run(command, check=True, capture_output=True)


def handshake(folder: Path, cert: Path, key: Path, name: str) -> None:
    """A TLS handshake in memory, the client verifying the name with the CA of the folder alone."""
    server_side, client_side = (
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER),
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
    )
    server_side.load_cert_chain(cert, key)
    client_side.load_verify_locations(folder / "ca.pem")
    client_side.verify_flags |= ssl.VERIFY_X509_STRICT
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_side.wrap_bio(to_client, to_server, server_hostname=name)
    server = server_side.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert client.cipher()


@pytest.mark.parametrize("name", sorted(NAMES))
def test_clients_accept_every_name(made: Made, name: str) -> None:
    folder = made[0] / "certs"
    handshake(folder, folder / "cert.pem", folder / "key.pem", name)


def sign(
    folder: Path, target: Path, name: str, days: int = 10, issuer: str = "private/ca-key.pem"
) -> tuple[Path, Path]:
    """What somebody with the CA's key could make: a certificate for any name."""
    ca = x509.load_pem_x509_certificate((folder / "ca.pem").read_bytes())
    ca_key = load_pem_private_key((folder / issuer).read_bytes(), password=None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)
    key = ec.generate_private_key(ec.SECP256R1())
    try:
        alternative: x509.GeneralName = x509.IPAddress(ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "other")]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False
        )
        .sign(ca_key, hashes.SHA256())
    )
    cert_path, key_path = target / "other.pem", target / "other-key.pem"
    cert_path.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return cert_path, key_path


@pytest.mark.parametrize(
    "name", ["example.com", "api.schwabapi.com", "shop.app", "x.redis", "10.0.0.1", "2001:db8::1"]
)
def test_clients_refuse_what_the_ca_may_not_sign(made: Made, tmp_path: Path, name: str) -> None:
    folder = made[0] / "certs"
    with pytest.raises(
        ssl.SSLCertVerificationError, match=r"permitted subtree violation|excluded subtree violation"
    ):
        handshake(folder, *sign(folder, tmp_path, name), name)
    handshake(folder, *sign(folder, tmp_path, "app"), "app")


def judged(files: Any, *, dry_run: bool) -> tuple[Any, bool]:
    """What has to be made, with nothing made."""
    states, repaired = certificates.judged({"": (files, WANTED)}, dry_run=dry_run)
    return states[""], repaired


def provided(files: Any, *, dry_run: bool = False) -> tuple[Any, bool]:
    authority = ("Test CA", ["127.0.0.0/8", *NAMES], 3650)
    states, changed = certificates.provide({"": (files, WANTED)}, authority, dry_run=dry_run)
    return states[""], changed


def test_a_good_set_stays(files: Any) -> None:
    before = {path: path.read_bytes() for path in files.folder.rglob("*.pem")}
    state, changed = provided(files)
    assert (state.ca, state.server, changed) == ("", "", False)
    assert len(state.fingerprint) == 64
    assert {path: path.read_bytes() for path in before} == before


Spoil = Callable[[Any], object]


def pem(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def write_key(path: Path, key: Any) -> None:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def server(
    *,
    days: tuple[int, int] = (-1, 396),
    usage: Any = ExtendedKeyUsageOID.SERVER_AUTH,
    names: frozenset[str] = NAMES,
    key: Any = None,
    by: Any = None,
) -> Spoil:
    """A server certificate as the role makes it, but for one thing."""

    def spoil(files: Any) -> None:
        own = (key or p_256)()
        ca, now = pem(files.ca), datetime.now(UTC)
        signer = by() if by else load_pem_private_key(files.ca_key.read_bytes(), password=None)
        names_of = [certificates_names(name) for name in sorted(names)]
        certificate = (
            x509.CertificateBuilder(issuer_name=ca.subject, subject_name=x509.Name([]))
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.SubjectAlternativeName(names_of), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
            )
            .sign(signer, hashes.SHA256())
        )
        files.cert.write_bytes(certificate.public_bytes(Encoding.PEM))
        write_key(files.key, own)

    return spoil


def certificates_names(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def authority(
    *, days: tuple[int, int] = (-1, 3650), is_ca: bool = True, sign: bool = True, key: Any = None
) -> Spoil:
    """A CA as somebody could have made it, and a server certificate that it has signed."""

    def spoil(files: Any) -> None:
        own, old, now = (
            key() if key else ec.generate_private_key(ec.SECP256R1()),
            pem(files.ca),
            datetime.now(UTC),
        )
        usage = dict.fromkeys(
            (
                *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
                *("key_agreement", "crl_sign", "encipher_only", "decipher_only"),
            ),
            False,
        )
        certificate = (
            x509.CertificateBuilder(issuer_name=old.subject, subject_name=old.subject)
            .public_key(own.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=days[0]))
            .not_valid_after(now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
            .add_extension(
                x509.KeyUsage(**usage | {"key_cert_sign": sign, "digital_signature": not sign}), critical=True
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
            .sign(own, hashes.SHA256())
        )
        files.ca.write_bytes(certificate.public_bytes(Encoding.PEM))
        write_key(files.ca_key, own)
        server()(files)

    return spoil


def rsa_1024() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 1024)  # noqa: S505 - the weak key is what is tested


def sha_1(files: Any) -> None:
    """cryptography does not make such signatures."""
    request, extensions = files.folder / "request.pem", files.folder / "extensions"
    subject = ["-subj", "/CN=localhost", "-key", files.key, "-out", request]
    subprocess.run([OPENSSL, "req", "-new", *subject], check=True, capture_output=True)
    names = ",".join(f"{'IP' if '.' in name or ':' in name else 'DNS'}:{name}" for name in NAMES)
    extensions.write_text(f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\n")
    options = ["-CA", files.ca, "-CAkey", files.ca_key, "-CAcreateserial", "-sha1", "-days", "300"]
    command = [OPENSSL, "x509", "-req", "-in", request, "-extfile", extensions, "-out", files.cert, *options]
    subprocess.run(command, check=True, capture_output=True)


def readable(files: Any) -> None:
    files.private.chmod(0o755)
    files.ca_key.chmod(0o644)


def p_256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        pytest.param(server(days=(-90, -1)), "it expires on", id="expired"),
        pytest.param(server(days=(1, 300)), "certificate is not yet valid", id="not yet valid"),
        pytest.param(server(names=frozenset(["localhost"])), "its names differ", id="fewer names"),
        pytest.param(server(names=frozenset(["app.example"])), "its names differ", id="another name"),
        pytest.param(
            server(usage=ExtendedKeyUsageOID.CLIENT_AUTH), "unsuitable certificate purpose", id="client"
        ),
        pytest.param(server(key=rsa_1024), "ee key too small", id="RSA 1024"),
        pytest.param(sha_1, "too weak", id="SHA-1", marks=NEEDS_OPENSSL),
        pytest.param(server(days=(-1, 3000)), "it is valid for too long, until", id="long-lived"),
        pytest.param(server(by=p_256), "unable to get", id="other CA"),
        pytest.param(
            lambda files: write_key(files.key, p_256()), "key.pem does not belong to it", id="another key"
        ),
        pytest.param(lambda files: files.key.chmod(0o644), "others could read key.pem", id="readable"),
        pytest.param(lambda files: files.key.chmod(0o640), "others could read key.pem", id="by the group"),
    ],
)
def test_a_server_certificate_that_clients_refuse_is_renewed(files: Any, spoil: Spoil, why: str) -> None:
    spoil(files)
    modes = files.key.stat().st_mode
    for dry_run in (True, False):
        state, _ = judged(files, dry_run=dry_run)
        assert state.ca == ""
        assert re.search(why, state.server, re.IGNORECASE), state.server
    assert files.key.stat().st_mode == modes


@pytest.mark.parametrize("spoil", [server(key=rsa_1024), lambda files: files.key.chmod(0o644)])
def test_a_run_renews_the_server_certificate(files: Any, tmp_path: Path, spoil: Spoil) -> None:
    ca = files.ca.read_bytes()
    spoil(files)
    spoiled = files.key.read_bytes()
    assert "WARNING" not in play(tmp_path)
    assert certificates.inspect(files, WANTED).fingerprint
    assert files.ca.read_bytes() == ca
    assert files.key.read_bytes() != spoiled
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        pytest.param(authority(is_ca=False, sign=False), "invalid CA certificate", id="no CA"),
        pytest.param(authority(sign=False), "invalid CA certificate|Path length", id="must not sign"),
        pytest.param(authority(days=(1, 3600)), "certificate is not yet valid", id="not yet valid"),
        pytest.param(authority(days=(-3000, -1)), "the old one expires on", id="expired"),
        pytest.param(authority(days=(-1, 9000)), "the old one is valid for too long, until", id="long-lived"),
        pytest.param(authority(key=rsa_1024), "CA certificate key too weak", id="RSA 1024"),
        pytest.param(readable, "others could read the old one's key", id="readable"),
    ],
)
def test_a_ca_that_clients_refuse_is_replaced(files: Any, spoil: Spoil, why: str) -> None:
    spoil(files)
    for dry_run in (True, False):
        state, _ = judged(files, dry_run=dry_run)
        assert state.server
        assert re.search(why, state.ca), state.ca


@pytest.mark.parametrize("spoil", [authority(is_ca=False, sign=False), readable])
def test_a_run_replaces_the_ca(files: Any, tmp_path: Path, spoil: Spoil) -> None:
    spoil(files)
    spoiled = files.ca.read_bytes(), files.ca_key.read_bytes()
    said = play(tmp_path)
    assert "is a new CA" in " ".join(said.split())
    assert certificates.inspect(files, WANTED).fingerprint
    assert files.ca.read_bytes() != spoiled[0]
    assert files.ca_key.read_bytes() != spoiled[1]
    assert stat.S_IMODE(files.private.stat().st_mode) == 0o700


def test_another_good_ca_stays(files: Any) -> None:
    """A person may have put a CA here that is trusted already. Whether to limit it, that person decides."""
    authority()(files)
    state, changed = provided(files)
    assert (state.ca, state.server, changed) == ("", "", False)


def test_a_ca_that_may_not_sign_is_not_made_again_and_again(tmp_path: Path) -> None:
    said = play(tmp_path, "-e", '{"certificates_permitted": ["localhost", "127.0.0.0/8", "::1/128"]}', code=2)
    assert "the old one may not sign for app, callback" in " ".join(said.split())
    assert "see certificates_permitted" in " ".join(said.split())


def swap_key(files: Any) -> None:
    files.key.write_bytes(files.ca_key.read_bytes())


def other_ca(files: Any) -> None:
    _, key = sign(files.folder, files.folder, "localhost")
    files.ca_key.write_bytes(key.read_bytes())


def other_ca_without_certificate(files: Any) -> None:
    other_ca(files)
    files.cert.unlink()


@pytest.mark.parametrize(
    ("spoil", "ca", "server"),
    [
        (lambda files: files.cert.unlink(), "", "it is missing"),
        (lambda files: files.cert.write_text("no certificate"), "", "it is missing"),
        (lambda files: files.key.unlink(), "", "key.pem does not belong to it"),
        (swap_key, "", "key.pem does not belong to it"),
        (lambda files: files.ca.unlink(), "it is missing", "its CA is missing"),
        (
            other_ca_without_certificate,
            "the CA's key does not belong to ca.pem",
            "it is missing",
        ),
    ],
)
def test_what_does_not_belong_together_is_made_anew(
    files: Any, spoil: Callable[[Any], object], ca: str, server: str
) -> None:
    spoil(files)
    state = certificates.inspect(files, WANTED)
    assert (state.ca, state.server, state.fingerprint) == (ca, server, "")


def test_names_and_time_ask_for_renewal(files: Any) -> None:
    more = certificates.inspect(files, replace(WANTED, names=NAMES - {"redis"}))
    assert (more.ca, more.server) == ("", "its names differ")
    spelled = {"LOCALHOST", "0:0::1"} | NAMES - {"localhost", "::1"}
    assert certificates.inspect(files, replace(WANTED, names=frozenset(spelled))).fingerprint
    foreign = certificates.inspect(files, replace(WANTED, names=NAMES | {"worker"}))
    assert foreign.ca == "the old one may not sign for worker"
    now = datetime.now(UTC)
    assert certificates.inspect(files, WANTED, now + timedelta(days=360)).server == ""
    soon = certificates.inspect(files, WANTED, now + timedelta(days=370))
    assert (soon.ca, soon.server[:13]) == ("", "it expires on")
    late = certificates.inspect(files, WANTED, now + timedelta(days=3300))
    assert late.ca.startswith("the old one expires on")
    assert late.server


def test_a_set_without_the_cas_key_serves_until_it_must_be_renewed(files: Any) -> None:
    files.ca_key.unlink()
    assert certificates.inspect(files, WANTED).fingerprint
    files.cert.unlink()
    with pytest.raises(certificates.Problem, match=r"the key of ca\.pem is missing: restore"):
        certificates.inspect(files, WANTED)


def test_modes_are_repaired_and_empty_mount_points_removed(files: Any) -> None:
    files.key.chmod(0o400)
    files.cert.unlink()
    files.cert.mkdir()
    _, changed = provided(files, dry_run=True)
    assert changed
    assert files.cert.is_dir()
    state, changed = provided(files)
    assert changed
    assert (state.ca, state.server) == ("", "")
    assert pem(files.cert)
    assert stat.S_IMODE(files.key.stat().st_mode) == 0o600
    files.cert.unlink()
    files.cert.mkdir()
    (files.cert / "a file").touch()
    with pytest.raises(certificates.Problem, match=r"cert\.pem: is a folder with something in it"):
        provided(files)


def test_what_is_no_name_is_told(files: Any) -> None:
    names = frozenset(["täst"])
    with pytest.raises(certificates.Problem, match="täst is no address and no name in ASCII"):
        certificates.inspect(files, replace(WANTED, names=names))


def test_runs_at_the_same_time_make_one_set(made: Made) -> None:
    state = certificates.inspect(certificates.Files(made[0] / "certs"), WANTED)
    assert (state.ca, state.server) == ("", "")
    assert all(f"fingerprint {state.fingerprint}" in output for output in made[1])


def test_a_renewal_keeps_the_ca_and_a_new_ca_is_said_loudly(files: Any, tmp_path: Path) -> None:
    ca = files.ca.read_bytes()
    fewer = play(tmp_path, names=SERVICES[:-1])
    assert files.ca.read_bytes() == ca
    assert "WARNING" not in fewer
    assert certificates.inspect(files, replace(WANTED, names=NAMES - {SERVICES[-1]})).server == ""

    more = play(tmp_path, names=[*SERVICES, "worker", "10.1.2.3"])
    assert files.ca.read_bytes() != ca
    assert "is a new CA, because the old one may not sign for 10.1.2.3, worker. Trust it again" in " ".join(
        more.split()
    )
    handshake(files.folder, files.cert, files.key, "10.1.2.3")
    handshake(files.folder, files.cert, files.key, "worker")

    assert "no more than 825" in " ".join(play(tmp_path, "-e", "days=900", code=2).split())


def with_servers(*names: str) -> tuple[str, str]:
    return "-e", json.dumps({"servers": {name: [name] for name in names}})


def test_a_server_with_a_key_to_itself_comes_to_an_older_set(files: Any, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in files.folder.rglob("*.pem")}
    assert "WARNING" not in play(tmp_path, *with_servers("callback", "redis"))
    assert {path: path.read_bytes() for path in before} == before
    assert "changed=0" in play(tmp_path, *with_servers("callback", "redis"), "-vvv")
    callback = certificates.Files(files.folder, "callback")
    keys = [path.read_bytes() for path in (files.key, files.folder / "redis-key.pem")]
    assert callback.key.read_bytes() not in keys
    assert stat.S_IMODE(callback.key.stat().st_mode) == 0o600
    for name in ("callback", "localhost", "127.0.0.1"):
        handshake(files.folder, callback.cert, callback.key, name)
    for name in ("app", "redis"):
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            handshake(files.folder, callback.cert, callback.key, name)


def test_one_servers_certificate_is_renewed_and_no_other(files: Any, tmp_path: Path) -> None:
    play(tmp_path, *with_servers("callback", "redis"))
    callback = certificates.Files(files.folder, "callback")
    callback.key.chmod(0o644)
    before = {path: path.read_bytes() for path in files.folder.rglob("*.pem")}
    play(tmp_path, *with_servers("callback", "redis"))
    changed = {path.name for path in before if path.read_bytes() != before[path]}
    assert changed == {"callback-cert.pem", "callback-key.pem"}


def test_a_ca_that_may_not_sign_for_one_server_is_replaced_with_all_that_it_signed(
    files: Any, tmp_path: Path
) -> None:
    play(tmp_path, *with_servers("callback"))
    said = " ".join(play(tmp_path, *with_servers("callback", "worker")).split())
    assert "is a new CA, because the old one may not sign for worker. Trust it again" in said
    for server, name in (("", "app"), ("callback", "callback"), ("worker", "worker")):
        pair = certificates.Files(files.folder, server)
        handshake(files.folder, pair.cert, pair.key, name)
    assert "changed=0" in play(tmp_path, *with_servers("callback", "worker"))


def test_how_to_trust_the_ca_tells_what_it_may_sign(made: Made, tmp_path: Path) -> None:
    checkout = clean_plan.clone(tmp_path)
    shutil.copytree(made[0] / "certs", checkout / "certs")
    said = playbook.finish(playbook.start("playbooks/trust.yml", folder=checkout, config=checkout))
    assert re.search(r"^  signs     only .*\blocalhost\b.*\b127\.0\.0\.0/8\b", said, re.MULTILINE), said
