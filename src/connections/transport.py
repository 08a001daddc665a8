"""How we speak to a provider's servers: they may be slow, broken or somebody else."""

import asyncio
import ssl
from collections.abc import Collection

import httpx2

TIMEOUT = 10.0  # seconds, from the name's resolution to the last byte
MAX_BYTES = 64 * 1024


class UnusableResponseError(httpx2.TransportError):
    """The answer is not read any further; ``reason`` is a word of ours."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class BoundedTransport(httpx2.AsyncBaseTransport):
    """Verified TLS, bounded in time and size, whoever answers.

    httpx2's own timeouts are for single operations: a byte every few seconds never ends. Compressed answers
    are refused, because their size says nothing of their content's. Redirects are the client's business.
    """

    def __init__(self, context: ssl.SSLContext, hosts: Collection[str] | None = None) -> None:
        """``hosts``: no others are spoken to; all, if None."""
        self._inner = httpx2.AsyncHTTPTransport(verify=context)
        self._hosts = hosts

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Raises ``httpx2.TimeoutException`` and other ``httpx2.TransportError``."""
        if request.url.scheme != "https":
            raise httpx2.UnsupportedProtocol("providers are spoken to over TLS alone", request=request)
        if self._hosts is not None and request.url.host not in self._hosts:
            raise httpx2.UnsupportedProtocol(f"{request.url.host} is not spoken to here", request=request)
        request.headers["Accept-Encoding"] = "identity"
        try:
            async with asyncio.timeout(TIMEOUT):
                response = await self._inner.handle_async_request(request)
                try:
                    content = await _read(response)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise httpx2.ReadTimeout(f"no complete answer in {TIMEOUT:.0f} s", request=request) from None
        return httpx2.Response(
            response.status_code, headers=response.headers, content=content, request=request
        )

    async def aclose(self) -> None:
        await self._inner.aclose()


async def _read(response: httpx2.Response) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise UnusableResponseError("compressed")
    content = bytearray()
    async for chunk in response.aiter_raw():
        content += chunk
        if len(content) > MAX_BYTES:
            raise UnusableResponseError("too_large")
    return bytes(content)
