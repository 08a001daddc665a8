"""Requests to the stage in the lab while something happens to it, by clients of all nodes, each counted."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
from three_engines_clients import CA, PORT
from three_engines_lab import Lab, Node

# Requests a second, over all nodes, and clients of each node. A rollout of half a minute meets a thousand.
RATE, CLIENTS = 40, 2
SERVER = {"sni_hostname": "localhost"}
# Seconds until all balancers know where the app is.
PATIENCE = 60


@contextmanager
def requests(lab: Lab, nodes: list[Node], rate: int = RATE) -> Iterator[list[str]]:
    """Send requests while the body runs; the list gets a line for each kind of answer, and how many."""
    addresses = [node.address for node in nodes]
    command = ["ip", "netns", "exec", lab.switch, sys.executable, __file__, str(rate), *addresses]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:  # noqa: S603 - ours
        answers: list[str] = []
        try:
            yield answers
        finally:
            output, _ = sender.communicate("")
            answers += output.splitlines()


def count(answers: list[str]) -> int:
    """Return how many requests were sent."""
    return sum(int(line.rpartition(" ")[2]) for line in answers)


def only_200(answers: list[str]) -> bool:
    """Whether there was no other answer."""
    return len(answers) == 1 and answers[0].startswith("200 ")


def until_200(lab: Lab, nodes: list[Node]) -> tuple[list[str], float]:
    """Send requests until all are answered with 200; return the last answers and the seconds it took.

    Each node's balancer finds tasks that are new, and misses those that are gone, by itself.
    """
    begun = time.monotonic()
    while True:
        with requests(lab, nodes) as answers:
            time.sleep(3)
        took = time.monotonic() - begun
        if only_200(answers) or took > PATIENCE:
            return answers, took


def send(address: str, rate: float, over: threading.Event) -> Counter[str]:
    """Send requests to one node until it is over, and count the answers."""
    found: Counter[str] = Counter()
    due, turn = time.monotonic(), 0
    with httpx.Client(verify=str(CA), timeout=20, headers={"Host": "localhost"}) as client:
        while not over.wait(max(0.0, due - time.monotonic())):
            path = ("/health", "/ready")[turn % 2]
            # Of those that are late, no more than a second's are made up for.
            turn, due = turn + 1, max(due + 1 / rate, time.monotonic() - 1)
            try:
                answer = client.get(f"https://{address}:{PORT}{path}", extensions=SERVER)
                found[str(answer.status_code)] += 1
            except httpx.HTTPError as error:
                found[f"{type(error).__name__} {error}"] += 1
    return found


def main() -> None:
    """Send requests to each node until standard input ends, then print each answer and its number."""
    rate, addresses, over = int(sys.argv[1]), sys.argv[2:] * CLIENTS, threading.Event()
    with ThreadPoolExecutor(len(addresses)) as clients:
        sent = [clients.submit(send, address, rate / len(addresses), over) for address in addresses]
        sys.stdin.read()
        over.set()
    found = sum((one.result() for one in sent), Counter[str]())
    for kind, number in found.items():
        sys.stdout.write(f"{kind} {number}\n")


if __name__ == "__main__":
    main()
