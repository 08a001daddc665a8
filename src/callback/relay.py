"""The app's internal endpoints, as the callback server calls them."""

import logging
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from src.callback.pages import PAGES, Refusal
from src.core.config import CallbackSettings
from src.core.security.tls import client_context
from src.core.web.request_ids import HEADER, current_request_id

if TYPE_CHECKING:
    import httpx2

# Seconds. The app gives a provider ten, and may ask it twice.
CONNECT_TIMEOUT = 3.0
ANSWER_TIMEOUT = 30.0
# Of a parameter, a cookie, a header; the app refuses what was cut.
LONGEST = 4097
PROBLEM_TYPE = "urn:dashtam:problem:"
UNREACHABLE = Refusal(503, "service-unavailable", "5")

logger = logging.getLogger(__name__)


class Relay:
    """The app's endpoints for this server, over verified TLS."""

    def __init__(self, settings: CallbackSettings) -> None:
        self._settings = settings
        self._client: httpx2.AsyncClient | None = None

    async def post(self, endpoint: str, browser: Request, body: dict[str, Any]) -> dict[str, Any] | Refusal:
        """The app's answer to what a browser brought. Nothing is sent twice."""
        import httpx2

        body |= {
            "ip_address": browser.client.host if browser.client else None,
            "user_agent": browser.headers.get("User-Agent", "")[:LONGEST],
        }
        headers = {"Authorization": f"Bearer {self._settings.relay_token.get_secret_value()}"}
        if request_id := current_request_id():
            headers[HEADER] = request_id
        try:
            response = await self._connected().post(
                f"/api/v1/internal/oauth/{endpoint}", json=body, headers=headers
            )
            answer = response.json()
        except httpx2.TransportError as error:
            logger.error("The app does not answer: %s: %s", type(error).__name__, error)
            return UNREACHABLE
        except ValueError:
            logger.error("The app answers %d with what is no JSON", response.status_code)
            return UNREACHABLE
        if response.status_code == 200 and isinstance(answer, dict):
            return answer
        return self._refusal(response, answer)

    def _refusal(self, response: "httpx2.Response", problem: Any) -> Refusal:
        kind = str(problem.get("type", "")) if isinstance(problem, dict) else ""
        code = kind.removeprefix(PROBLEM_TYPE)
        if code not in PAGES:
            logger.error("The app answers %d: %s", response.status_code, code)
            # Below 500 it did not even look: another RELAY_TOKEN, say, or another version.
            return UNREACHABLE if response.status_code < 500 else Refusal(502, code)
        retry_after = response.headers.get("Retry-After", "")
        found = problem.get("result")
        return Refusal(
            response.status_code,
            code,
            retry_after if retry_after.isdecimal() else None,
            found if isinstance(found, str) else None,
        )

    def _connected(self) -> "httpx2.AsyncClient":
        import httpx2  # not on top: it costs a start more than it costs the first browser

        if self._client is None:
            self._client = httpx2.AsyncClient(
                base_url=self._settings.app_url,
                verify=client_context(self._settings.tls_ca_file),
                timeout=httpx2.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT),
                # An app that was restarted has forgotten old connections, and nothing is sent twice.
                limits=httpx2.Limits(max_keepalive_connections=0),
                trust_env=False,
            )
        return self._client

    async def aclose(self) -> None:
        if self._client is not None:
            await self._client.aclose()
