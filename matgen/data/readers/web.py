"""Asking web interfaces for JSON: time-outs, retries with growing pauses, one clear error when all fails."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from matgen import __version__
from matgen.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

log = logging.getLogger(__name__)

TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Status codes after which the same question may be answered."""

LARGEST_ANSWER = 256 * 1024 * 1024
"""Bytes of one answer."""


@dataclass
class WebClient:
    """Asks for JSON over HTTP and tries again when a server is busy or a connection breaks.

    Args:
        headers: Sent with every request; secrets belong here, because addresses are shown in messages.
        attempts: Number of tries in all.
        pause: Seconds before the second try; doubles with every further one.
        longest_pause: Limit of a pause, also of one that the server asks for with ``Retry-After``.
        timeout: Seconds to wait for a connection or for the next bytes.
        sleep: Waits; tests give their own.
    """

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    attempts: int = 5
    pause: float = 1.0
    longest_pause: float = 60.0
    timeout: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    _http: httpx.Client = field(init=False, repr=False)

    def __post_init__(self) -> None:
        headers = {"User-Agent": f"matgen/{__version__}", "Accept": "application/json", **self.headers}
        self._http = httpx.Client(
            headers=headers, timeout=self.timeout, follow_redirects=not self.headers
        )  # a redirect must not carry a key elsewhere

    def __enter__(self) -> WebClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, url: str, parameters: Mapping[str, str | int] | None = None) -> dict[str, Any]:
        """The JSON object at an address.

        Raises:
            DataError: The server refuses, cannot be reached after all tries, or answers something else than JSON.
        """
        for attempt in range(1, self.attempts + 1):
            try:
                answer = self._http.get(url, params=dict(parameters) if parameters else None)
            except (httpx.TransportError, httpx.InvalidURL) as error:
                failure, wait = f"cannot be reached ({error or type(error).__name__})", 0.0
                if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
                    raise DataError(f"no web address ({error}).", where=url) from error
            else:
                if answer.status_code == httpx.codes.OK:
                    return _object(answer, url)
                failure, wait = f"answers {answer.status_code}{_detail(answer)}", _retry_after(answer)
                if answer.status_code not in TRANSIENT:
                    raise DataError(f"the server {failure}.", where=url, fix=_advice(answer.status_code))
            if attempt < self.attempts:
                wait = min(max(wait, self.pause * 2 ** (attempt - 1)), self.longest_pause)
                log.warning("%s %s; next try in %.0f s", url, failure, wait)
                self.sleep(wait)
        raise DataError(f"the server {failure}, also after {self.attempts} tries.", where=url, fix="Try again later.")


def _object(answer: httpx.Response, url: str) -> dict[str, Any]:
    if len(answer.content) > LARGEST_ANSWER:
        raise DataError(f"an answer of {len(answer.content):,} bytes is too large.", where=url)
    try:
        content = answer.json()
    except (ValueError, RecursionError) as error:
        raise DataError("the server answers something else than JSON.", where=url, fix="Check the address.") from error
    if not isinstance(content, dict):
        raise DataError("the server answers JSON of another form than expected.", where=url, fix="Check the address.")
    return content


def _detail(answer: httpx.Response) -> str:
    """What the server says about its refusal."""
    try:
        content = answer.json()
    except (ValueError, RecursionError):
        return ""
    text = content.get("detail") or content.get("message") if isinstance(content, dict) else None
    if isinstance(content, dict) and isinstance(errors := content.get("errors"), list) and errors:
        text = errors[0].get("detail") or errors[0].get("title") if isinstance(errors[0], dict) else errors[0]
    return f" ({' '.join(str(text).split())[:200]})" if text else ""


def _retry_after(answer: httpx.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _advice(status: int) -> str | None:
    if status in {401, 403}:
        return "Check the API key."
    if status in {400, 404, 422}:
        return "Check the address and the query."
    return "Check the address." if 300 <= status < 400 else None
