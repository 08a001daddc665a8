"""The board as a person has it: `make board` in a checkout, over verified TLS, and in a real Chromium.

Its containers are of an image that is there anyway.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import docker
import pytest

from tests import chromium, collection
from tests.by_path import ROOT, load
from tests.provisioning import clean_plan, playbook

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="no make on this machine")
run_history = load("plugins/module_utils/run_history.py")
TOKEN = secrets.token_hex(4)
INSTANCE = f"board-{TOKEN}"
APP, ENDING, STRANGER = f"{INSTANCE}-dev-app", f"{INSTANCE}-dev-redis", f"stranger-{TOKEN}"
PASSWORD = f"pw-{secrets.token_hex(8)}"
LINK_TOKEN, BEARER = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
LOG = f"""\
\x1b[32mINFO\x1b[0m started with {PASSWORD}
mail: https://localhost:8000/verify-email?token={LINK_TOKEN}&next=1
Authorization: Bearer {BEARER}
<img src=x onerror="document.title='broken'">"""
RUN = run_history.Run(0, 6.1, "ann", "dev", ["dashtam-dev"], 12, "passed", {}, {"dashtam-dev-app": 3.1})
TESTS = {"passed": 812, "failed": 0, "skipped": 4}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@dataclass(frozen=True)
class Checkout:
    folder: Path
    port: int

    def command(self, *arguments: str) -> list[str]:
        return ["make", "--old-file=venv", "--old-file=engine", *arguments, f"BOARD_PORT={self.port}"]

    def make(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=collection.outside(),
            capture_output=True,
            text=True,
            check=False,
        )

    @contextmanager
    def board(self) -> Iterator[subprocess.Popen[str]]:
        """Run the board until the block ends; it may have ended before."""
        process = subprocess.Popen(
            # As in a shell that has been used for something else.
            self.command("board", "INSTANCE=another", "ANSIBLE_ARGS=-v"),
            cwd=self.folder,
            env=collection.outside() | {"LIMIT": "ci"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert line == f"The board is at https://localhost:{self.port}  (Ctrl-C ends it)\n"
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.stdout.close()
            process.wait()

    def connect(self) -> http.client.HTTPSConnection:
        context = ssl.create_default_context(cafile=str(self.folder / "certs/ca.pem"))
        return http.client.HTTPSConnection("localhost", self.port, context=context, timeout=30)

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
        """Return the status, the headers and the text of an answer."""
        connection = self.connect()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, headers=named)
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}
        text = answer.read().decode()
        connection.close()
        return *found, text

    def token(self) -> str:
        return self.ask("/")[2].partition('name="board-token" content="')[2].partition('"')[0]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Checkout:
    folder = clean_plan.clone(tmp_path_factory.mktemp("board"))
    clean_plan.add_make(folder)
    (folder / ".venv").symlink_to(Path(playbook.COMMAND).parents[1])
    made = Checkout(folder, free_port())
    # By which images are told; drift is about them, too.
    shutil.copytree(ROOT / "requirements", folder / "requirements")
    if (ROOT / "certs/key.pem").exists():
        shutil.copytree(ROOT / "certs", folder / "certs")
    else:
        certificates = made.make("certs", "ANSIBLE_ARGS=--limit=test")
        assert certificates.returncode == 0, certificates.stdout + certificates.stderr
    now = time.time()
    for number in range(8):
        run = replace(RUN, started=now - 4000 + 500 * number, seconds=6 + number / 3)
        ready = {"dashtam-dev-app": 3 + (number % 3) / 2, "dashtam-dev-redis": 0.9}
        run_history.record(folder / run_history.PLACE, replace(run, ready=ready))
        tests = TESTS | {"failed": 2 if number == 3 else 0}
        result = "failed" if tests["failed"] else "passed"
        tested = replace(run, playbook="test", environments=["dashtam-test"], seconds=70 + number, ready={})
        run_history.record(folder / run_history.PLACE, replace(tested, tests=tests, result=result))
    return made


@pytest.fixture(scope="module")
def client(checkout: Checkout) -> Iterator[docker.APIClient]:
    """Start an app that has written a log, and a container that is not ours."""
    client = docker.APIClient()
    try:
        start(client, checkout, APP, f"cat <<'END'\n{LOG}\nEND\nexec sleep 600")
        start(client, checkout, STRANGER, "exec sleep 600", ours=False)
        yield client
    finally:
        for name in (APP, ENDING, STRANGER):
            try:
                client.remove_container(name, force=True, v=True)
            except docker.errors.NotFound:
                continue
        client.close()


def start(client: docker.APIClient, checkout: Checkout, name: str, script: str, ours: bool = True) -> None:
    tags = [tag for image in client.images() for tag in image["RepoTags"] or []]
    image = next(tag for tag in sorted(tags) if tag.startswith(("dashtam/postgres", "postgres:")))
    labels = {
        "dashtam.instance": INSTANCE,
        "dashtam.environment": "dev",
        "dashtam.checkout": str(checkout.folder),
        "dashtam.service": name.rpartition("-")[2],
    }
    client.create_container(
        image,
        ["-c", script],
        entrypoint="sh",
        name=name,
        stop_signal="KILL",
        labels=labels if ours else {},
        environment={"DB_PASSWORD": PASSWORD},
    )
    client.start(name)


@pytest.fixture(scope="module")
def board(checkout: Checkout, client: docker.APIClient) -> Iterator[Checkout]:
    with checkout.board():
        yield checkout


def test_the_page_is_complete_in_itself_and_says_so_in_its_policy(board: Checkout) -> None:
    status, headers, text = board.ask("/")
    assert status == 200
    policy = dict(part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[f"{kind}-src"] for kind in ("script", "style", "connect", "img")} == {"'self'"}
    assert "unsafe" not in headers["content-security-policy"]
    assert (headers["x-content-type-options"], headers["cache-control"]) == ("nosniff", "no-store")
    assert "style=" not in text
    assert not re.search(r"(src|href)=\"(?![\w.]+\")", text)
    assert str(board.folder) in text
    for name in ("board.css", "board.js", "dom.js", "history.js", "instances.js", "plots.js", "icon.svg"):
        assert board.ask(f"/{name}")[0] == 200
    assert board.ask("/app.py")[0] == 404
    assert board.ask("/..%2fapp.py")[0] == 404


@pytest.mark.parametrize(
    ("status", "method", "headers"),
    [
        (200, "HEAD", {}),
        (200, "GET", {"Sec_Fetch_Site": "none"}),
        (200, "GET", {"Sec_Fetch_Site": "same-origin"}),
        (405, "POST", {}),
        (405, "DELETE", {}),
        (421, "GET", {"Host": "board.attacker.example"}),
        (421, "GET", {"Host": "localhost"}),
        (421, "GET", {"Host": "localhost:80"}),
        (403, "GET", {"Sec_Fetch_Site": "cross-site"}),
        (403, "GET", {"Sec_Fetch_Site": "same-site"}),
        (403, "GET", {"Origin": "https://attacker.example"}),
        (403, "GET", {"Origin": "null"}),
    ],
)
def test_only_the_boards_own_page_is_answered(
    board: Checkout, status: int, method: str, headers: dict[str, str]
) -> None:
    for path in ("/", "/health", f"/logs/{APP}"):
        assert board.ask(path, method, **headers)[0] == status


def test_it_listens_on_this_machine_alone(board: Checkout) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # sends nothing; says which address it would be sent from
        own = probe.getsockname()[0]
    assert not own.startswith("127.")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((own, board.port), timeout=5)


class Stream:
    """The events that a page would get."""

    def __init__(self, board: Checkout) -> None:
        self._connection = board.connect()
        self._connection.request("GET", "/events")
        self._answer = self._connection.getresponse()
        assert self._answer.getheader("content-type", "").startswith("text/event-stream")
        self.text = ""

    def next(self, kind: str) -> dict[str, Any]:
        """Return the content of the next event of a kind."""
        name, end = "", time.monotonic() + 30
        while time.monotonic() < end:
            line = self._answer.readline().decode()
            assert line, "the stream has ended"
            self.text += line
            if line.startswith("event: "):
                name = line.removeprefix("event: ").strip()
            elif line.startswith("data: ") and name == kind:
                content: dict[str, Any] = json.loads(line.removeprefix("data: "))
                return content
        raise TimeoutError(kind)

    def container(self, name: str) -> dict[str, Any] | None:
        """Return what the next look says of a container."""
        instances = self.next("engine")["instances"]
        found = {each["name"]: each for instance in instances for each in instance["objects"]}
        return found.get(name)

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self._answer.close()
        self._connection.close()


def test_the_stream_tells_of_a_container_that_starts_and_ends(
    board: Checkout, client: docker.APIClient
) -> None:
    with Stream(board) as stream:
        follow(stream, board, client)


def follow(stream: Stream, board: Checkout, client: docker.APIClient) -> None:
    known = run_history.read(board.folder / run_history.PLACE)
    assert stream.next("history")["runs"] == [run.as_dict() for run in known]
    start(client, board, ENDING, f"until [ -e /tmp/end ]; do sleep 0.1; done; echo no {PASSWORD}; exit 7")
    while (found := stream.container(ENDING)) is None or found["state"] != "running":
        continue
    assert found["service"] == "redis"
    begun = time.monotonic()
    client.exec_start(client.exec_create(ENDING, ["touch", "/tmp/end"])["Id"], detach=True)
    while (found := stream.container(ENDING)) and found["state"] != "exited":
        continue
    assert found
    assert time.monotonic() - begun < 5
    assert (found["exit_code"], found["reason"]) == (7, "no ***")
    client.remove_container(ENDING)
    while stream.container(ENDING):
        continue
    assert PASSWORD not in stream.text
    # A run that ends appears, too.
    run_history.record(board.folder / run_history.PLACE, replace(RUN, started=time.time(), user="bob"))
    assert stream.next("history")["runs"][0]["user"] == "bob"


def test_a_closed_page_ends_its_stream(board: Checkout) -> None:
    with Stream(board) as one, Stream(board) as other:
        assert one.next("engine") == other.next("engine")
        assert json.loads(board.ask("/health")[2]) == {"board": str(board.folder), "streams": 2}
    end = time.monotonic() + 20
    while json.loads(board.ask("/health")[2])["streams"]:
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_log_is_shown_without_secrets_and_only_of_what_is_ours(board: Checkout) -> None:
    status, headers, text = board.ask(f"/logs/{APP}")
    assert (status, headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert text.splitlines() == [
        "INFO started with ***",
        "mail: https://localhost:8000/verify-email?token=***&next=1",
        "Authorization: Bearer ***",
        LOG.splitlines()[3],
    ]
    assert board.ask(f"/logs/{STRANGER}")[0] == 404
    assert board.ask(f"/logs/none-{TOKEN}")[0] == 404
    assert board.ask(f"/logs/{client_id(board)}")[0] == 404


def client_id(board: Checkout) -> str:
    """Return the id of the stranger's container: it is no name of an instance, either."""
    api = docker.APIClient()
    found: str = api.inspect_container(STRANGER)["Id"]
    api.close()
    return found


def test_drift_needs_the_pages_own_token(board: Checkout) -> None:
    path = f"/drift/{INSTANCE}/dev"
    assert board.ask(path)[0] == 403
    assert board.ask(path, X_Board_Token="guessed")[0] == 403
    assert board.ask(path, X_Board_Token=board.token(), Sec_Fetch_Site="cross-site")[0] == 403
    assert board.ask("/drift/dashtam/none", X_Board_Token=board.token())[0] == 404


def test_another_board_and_the_way_to_this_one(board: Checkout) -> None:
    other = board.make("board")
    assert other.returncode == 2
    (line, *_) = other.stderr.splitlines()
    advice = f"make board BOARD_PORT={board.port + 1}"
    assert line == f"Port {board.port} is taken, perhaps by another board. Choose one: {advice}"
    opened = board.make("open", "WHAT=board", "DISPLAY=", "WAYLAND_DISPLAY=")
    assert opened.stdout == f"https://localhost:{board.port}\n"
    assert json.loads(board.make("open", "WHAT=board", "FORMAT=json").stdout) == {
        "url": f"https://localhost:{board.port}"
    }


@pytest.mark.skipif(
    not chromium.PROGRAM or not shutil.which("certutil"), reason="no Chromium, or no certutil"
)
def test_a_browser_that_trusts_the_ca_shows_it(
    board: Checkout, client: docker.APIClient, tmp_path: Path
) -> None:
    url = f"https://localhost:{board.port}/"
    with chromium.browser(tmp_path) as page:
        assert page.open(url) == "net::ERR_CERT_AUTHORITY_INVALID"
    home = tmp_path / "trusting"
    home.mkdir()
    chromium.trust(home, board.folder / "certs/ca.pem")
    # For whoever wants to see what was tested.
    pictures = ROOT / "reports/board"
    pictures.mkdir(parents=True, exist_ok=True)
    start(client, board, ENDING, "exec sleep 600")
    with chromium.browser(home) as page:
        page.look(1200, dark=False)
        assert page.open(url) == ""
        page.wait(f"document.body.innerText.includes('{ENDING}')")
        page.wait("document.querySelectorAll('#history tbody tr').length >= 16")
        assert page.evaluate("document.querySelectorAll('svg .dot').length") >= 8
        assert page.evaluate("document.querySelectorAll('svg rect.failed').length") == 1
        # What is new appears without a reload.
        client.stop(ENDING, timeout=0)
        page.wait(f"document.getElementById('changes').innerText.includes('{ENDING}: running → exited with')")
        # A log is text, whatever is in it.
        page.evaluate(f"document.querySelector('[data-name=\"{APP}\"] summary').click()")
        page.wait("document.body.innerText.includes('INFO started with ***')")
        assert page.evaluate("document.title") == "Board - Dashtam"
        # Drift on demand, of an environment of which there is next to nothing.
        mine = f"[...document.querySelectorAll('article')].find((each) => each.innerText.includes('{APP}'))"
        button = f"{mine}.querySelector('button')"
        page.evaluate(f"{button}.click()")
        assert page.evaluate(f"{button}.disabled") is True
        page.wait(f"!!{mine}.querySelector('[aria-live] table, [aria-live] .fault')", 60)
        assert f"Drift of {INSTANCE}-dev" in page.text(), page.text()
        # The container's command has it.
        assert PASSWORD not in page.text()
        for width, dark in ((1200, False), (1200, True), (375, False), (375, True)):
            page.look(width, dark)
            page.screenshot(pictures / f"{width}-{'dark' if dark else 'light'}.png")
            assert page.faults() == []
        # On a telephone, where each value is below or beside its title.
        aligned = (
            "[...document.querySelectorAll('td.number')].map((each) => getComputedStyle(each).textAlign)"
        )
        assert set(page.evaluate(aligned)) == {"left"}
        # Every table says what it is, every region has a name.
        assert page.evaluate(
            "[...document.querySelectorAll('table')].every((each) => each.caption?.textContent)"
        )
        assert page.evaluate("document.querySelectorAll('main h1, main h2, main h3').length") >= 5
        assert page.complaints() == []
        assert {each for each in page.requests() if not each.startswith(url)} == set()
    client.remove_container(ENDING, force=True)


def test_ctrl_c_ends_it_at_once_with_its_streams_in_one_line(
    checkout: Checkout, client: docker.APIClient
) -> None:
    apart = replace(checkout, port=free_port())
    missing = apart.make("open", "WHAT=board")
    assert missing.returncode == 2
    assert missing.stderr.splitlines()[0] == (
        f"This checkout's board does not run on port {apart.port}. Start it: make board"
    )
    with apart.board() as process, Stream(apart) as stream:
        stream.next("engine")
        begun = time.monotonic()
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout
        assert process.stdout.read() == "\nThe board has ended.\n"
        process.wait(10)
        assert time.monotonic() - begun < 5


def test_what_is_missing_or_wrong_is_a_line(checkout: Checkout) -> None:
    wrong = replace(checkout, port=0).make("board")
    assert wrong.returncode == 2
    assert "'0' is no port from 1024 to 65535" in wrong.stderr
    (checkout.folder / "certs").rename(checkout.folder / "kept")
    try:
        missing = replace(checkout, port=free_port()).make("board")
    finally:
        (checkout.folder / "kept").rename(checkout.folder / "certs")
    line = missing.stderr.splitlines()[0]
    assert line == "certs/cert.pem cannot be read: No such file or directory. Make it: make certs"
