"""Clients of the stage in the lab: each request over verified TLS, from an address of its own, as it is."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from three_engines_lab import CLIENTS, Lab, run
from three_engines_report import expect

CA = Path(__file__).resolve().parents[1] / "certs/ca.pem"
PORT = 8443
# Of one client in a minute, see src/api/auth.py.
RATE_LIMIT = 30


@dataclass(frozen=True)
class Request:
    """One request; the path goes out as it is written, which clients otherwise tidy up."""

    node: str
    path: str
    client: str = ""
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass(frozen=True)
class Answer:
    """What came back; ``problem`` where the app itself has refused."""

    status: int
    body: str
    problem: bool


def ask(lab: Lab, requests: list[Request]) -> list[Answer]:
    """Send requests, one after the other, from the namespace that the lab's clients are in."""
    given = json.dumps([asdict(request) for request in requests])
    said = run("ip", "netns", "exec", lab.switch, sys.executable, __file__, said=given)
    return [Answer(**answer) for answer in json.loads(said)]


def send(request: Request) -> Answer:
    """Send one request on a connection of its own."""
    connection = http.client.HTTPSConnection("localhost", PORT, timeout=20)
    source = (request.client, 0) if request.client else None
    plain = socket.create_connection((request.node, PORT), timeout=20, source_address=source)
    # The socket is connected already, so the name is the one that the certificate has.
    connection.sock = ssl.create_default_context(cafile=str(CA)).wrap_socket(
        plain, server_hostname="localhost"
    )
    connection.request(request.method, request.path, request.body or None, request.headers)
    answer = connection.getresponse()
    kind = answer.getheader("Content-Type") or ""
    body = answer.read().decode(errors="replace")
    connection.close()
    return Answer(answer.status, body, kind.startswith("application/problem+json"))


def check_clients(lab: Lab) -> None:
    """What the balancer makes of clients: addresses of their own, and nothing for those that lie."""
    nodes = [node.address for node in lab.nodes]
    one, other, third = CLIENTS

    def verify(turn: int, client: str, **headers: str) -> Request:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        path, body = "/api/v1/auth/verify-email", '{"token": "unknown"}'
        node = nodes[turn % len(nodes)]
        return Request(node, path, client, "POST", {"Content-Type": "application/json"} | names, body)

    # All of them say that they come from the other.
    sent = [verify(turn, one, X_Forwarded_For=other) for turn in range(RATE_LIMIT + 1)]
    codes = [answer.status for answer in ask(lab, sent)]
    expect(
        codes[-1] == 429 and not {429, 500, 502, 503} & set(codes[:-1]),
        f"a client is refused after {RATE_LIMIT} attempts, whatever node it asks",
        codes,
    )
    lies = [
        {},
        {"X_Forwarded_For": other},
        {"X_Forwarded_For": f"{third}, 192.0.2.7"},
        {"Forwarded": f"for={other}"},
        {"X_Real_IP": other},
        {"X_Forwarded_For": other, "X_Real_IP": other, "Forwarded": f"for={other};proto=https"},
    ]
    asked = [verify(turn, one, **lie) for turn, lie in enumerate(lies)] + [verify(0, other), verify(1, third)]
    codes = [answer.status for answer in ask(lab, asked)]
    expect(set(codes[: len(lies)]) == {429}, "and stays so, whatever it says its address is", codes)
    expect(429 not in codes[len(lies) :], "while others, named by it, are not", codes)

    hidden = ["/metrics", "/metrics/", "//metrics", "/./metrics", "/%6detrics", "/METRICS", "/metrics?x"]
    answers = ask(lab, [Request(nodes[0], path) for path in [*hidden, "/metric"]])
    by = [(answer.status, "app" if answer.problem else "balancer") for answer in answers]
    expect(
        set(by[:-1]) == {(404, "balancer")} and by[-1] == (404, "app"),
        f"the balancer answers {', '.join(hidden)} with 404",
        by,
    )


if __name__ == "__main__":
    answers = [send(Request(**request)) for request in json.load(sys.stdin)]
    json.dump([asdict(answer) for answer in answers], sys.stdout)
