"""The inbox of dev and test: what the app mails, shown with its links."""

import re
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Any

import aiosmtplib
import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette

from src import mail_inbox
from src.core.config import ServerSettings, load
from src.core.security.tls import client_context
from src.mail_inbox import MailInboxSettings
from src.mail_inbox.messages import BYTES, KEPT
from tests.api.served import served
from tests.factories import PASSWORD


@pytest.fixture
def inbox() -> Starlette:
    return mail_inbox.create_app(load(MailInboxSettings).model_copy(update={"mail_inbox_smtp_port": 0}))


@pytest.fixture
async def http(inbox: Starlette) -> AsyncIterator[httpx.AsyncClient]:
    """What a browser on the machine reaches."""
    context = client_context(load(ServerSettings).tls_ca_file)
    with served(inbox) as url:
        async with httpx.AsyncClient(base_url=url, verify=context) as http:
            yield http


async def send(inbox: Starlette, subject: str = "Hello", text: str = "Text") -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "a@example.org", "b@example.org", subject
    mail.set_content(text)
    await aiosmtplib.send(mail, hostname="localhost", port=inbox.state.smtp_port, start_tls=False)


async def test_a_registrations_link_is_shown_and_can_be_followed(
    inbox: Starlette, http: httpx.AsyncClient, app: FastAPI, client: httpx.AsyncClient
) -> None:
    changes: dict[str, Any] = {
        "smtp_host": "localhost",
        "smtp_port": inbox.state.smtp_port,
        "smtp_security": "none",
        "mail_from": "no-reply@dashtam.test",
    }
    app.state.settings = app.state.settings.model_copy(update=changes)
    registration = {"email": "ann@example.org", "password": PASSWORD, "name": "Ann"}
    assert (await client.post("/api/v1/auth/register", json=registration)).status_code == 201
    page = await http.get("/")
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    assert "To ann@example.org, " in page.text
    (link,) = re.findall('<a href="([^"]*)" rel="noreferrer">', page.text)
    (message,) = (await http.get("/messages")).json()
    assert (message["to"], message["subject"], message["links"]) == (
        ["ann@example.org"],
        "Confirm your address",
        [link],
    )
    followed = await client.get(link.removeprefix(app.state.settings.public_url))
    assert followed.status_code == 200
    assert "<h1>Confirm your address</h1>" in followed.text


async def test_newest_first_and_only_so_many(inbox: Starlette, http: httpx.AsyncClient) -> None:
    assert "No mail yet" in (await http.get("/")).text
    for number in range(KEPT + 2):
        await send(inbox, f"Mail {number}")
    subjects = [message["subject"] for message in (await http.get("/messages")).json()]
    assert subjects == [f"Mail {number}" for number in range(KEPT + 1, 1, -1)]
    page = (await http.get("/")).text
    assert page.index(f"Mail {KEPT + 1}") < page.index("Mail 2<")


async def test_nothing_in_a_mail_is_more_than_text(inbox: Starlette, http: httpx.AsyncClient) -> None:
    await send(inbox, "<script>1</script>", '<b>x</b> https://x.example/"onclick=" javascript:alert(1)')
    page = (await http.get("/")).text
    assert not re.search('<(script|b)>|onclick="|href="javascript', page)
    assert "&lt;script&gt;1&lt;/script&gt;" in page
    assert 'href="https://x.example/"' in page


async def test_a_large_mail_is_refused_and_a_strange_one_shown(
    inbox: Starlette, http: httpx.AsyncClient
) -> None:
    with pytest.raises(aiosmtplib.SMTPResponseException):
        await send(inbox, text="x" * (BYTES + 1))
    mail = EmailMessage()
    mail["From"], mail["To"] = "a@example.org", "b@example.org"
    mail.set_content("<p>HTML alone</p>", subtype="html")
    await aiosmtplib.send(mail, hostname="localhost", port=inbox.state.smtp_port, start_tls=False)
    raw = b"Subject: =?x?\r\nContent-Type: text/plain; charset=nowhere\r\n\r\n\xff\r\n"
    await aiosmtplib.send(
        raw,
        sender="a@example.org",
        recipients=["b@example.org"],
        hostname="localhost",
        port=inbox.state.smtp_port,
        start_tls=False,
    )
    strange, html = (await http.get("/messages")).json()
    assert (html["subject"], html["links"]) == ("(no subject)", [])
    assert "no plain text" in html["text"]
    assert "character set" in strange["text"]
    assert (await http.get("/")).status_code == 200
