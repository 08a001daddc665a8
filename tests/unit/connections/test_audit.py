import pytest

from src.connections.audit import ClientInfo


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:DB8::1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:203.0.113.7", "::ffff:203.0.113.7"),
        ("203.0.113.7:8182", None),
        ("203.0.113.7\0", None),
        ("localhost", None),
        ("testclient", None),
        ("", None),
        (None, None),
    ],
)
def test_address(host: str | None, expected: str | None) -> None:
    address = ClientInfo.from_request(host, None).ip_address
    if host == "::ffff:203.0.113.7":
        assert address in {"::ffff:203.0.113.7", "::ffff:cb00:7107"}
    else:
        assert address == expected


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        ("Browser/1.0 (X11; Linux)", "Browser/1.0 (X11; Linux)"),
        ("a\0b\r\nc\u2028d\x1b[31m", "a\ufffdb\ufffd\ufffdc\ufffdd\ufffd[31m"),
        ("\ud800", "\ufffd"),
        ("x" * 301, "x" * 300),
        ("", None),
        (None, None),
    ],
)
def test_user_agent(user_agent: str | None, expected: str | None) -> None:
    assert ClientInfo.from_request(None, user_agent).user_agent == expected
