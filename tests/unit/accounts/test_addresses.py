"""One spelling of each address."""

import re
from email.message import EmailMessage

import pytest

from src.accounts import addresses
from tests.properties import given, st


@pytest.mark.parametrize(
    ("given_", "normal"),
    [
        ("ann@example.org", "ann@example.org"),
        ("ANN.Example+Tag@EXAMPLE.ORG", "ann.example+tag@example.org"),
        ("ann@EXÄMPLE.org", "ann@xn--exmple-cua.org"),
        ("ann@xn--exmple-cua.org", "ann@xn--exmple-cua.org"),
        ("o'hara@example.org", "o'hara@example.org"),
        ("Ann@Shop.TEST", "ann@shop.test"),
        ("ann@shop.local", "ann@shop.local"),
        ("ann@localhost", "ann@localhost"),
        ("ann@mail.localhost", "ann@mail.localhost"),
        ("ann@mailhost", "ann@mailhost"),
    ],
)
def test_an_address_is_normalised(given_: str, normal: str) -> None:
    assert addresses.normalise(given_) == normal


@pytest.mark.parametrize(
    "given_",
    [
        "",
        "ann",
        "ann@",
        "@example.org",
        "ann@.test",
        "a@b@example.org",
        "änn@example.org",
        "ann@[::1]",
        "=?us-ascii?q?eve=40example.com=2c?=x@example.org",
        "=?us-ascii?q?a=0d=0ab?=@example.org",
        "x=?utf-8?b?YQ==?=@example.org",
    ],
)
def test_what_is_no_address_is_refused_without_being_repeated(given_: str) -> None:
    with pytest.raises(ValueError, match=rf"^{re.escape(addresses.REFUSAL)}$"):
        addresses.normalise(given_)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("ann@example.org", True),
        ("ann@contest.org", True),
        ("ann@localhost.org", True),
        ("ann@shop.test", False),
        ("ann@shop.local", False),
        ("ann@localhost", False),
        ("ann@mail.localhost", False),
        ("ann@shop.invalid", False),
        ("ann@mailhost", False),
        ("ann@shop.123", False),
    ],
)
def test_where_mail_can_be_sent_from_anywhere(address: str, expected: bool) -> None:
    assert addresses.is_on_the_internet(addresses.normalise(address)) is expected


@given(st.emails() | st.text() | st.tuples(st.text(), st.text()).map("@".join))
def test_the_normal_spelling_is_ascii_in_lower_case_and_its_own_normal_spelling(given_: str) -> None:
    try:
        normal = addresses.normalise(given_)
    except ValueError:
        return
    assert normal.isascii()
    assert normal.isprintable()
    assert normal == normal.lower() == addresses.normalise(normal)
    assert len(normal) <= addresses.MAX_LENGTH
    mail = EmailMessage()
    mail["To"] = normal
    assert [each.addr_spec for each in mail["To"].addresses] == [normal]
