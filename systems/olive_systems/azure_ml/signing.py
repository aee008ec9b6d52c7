# ruff: noqa: TID253 - heavy module, imported lazily by olive_systems.azure_ml.datastore
"""Each request to a blob store is signed with what is good now, and made again where it was refused for the moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Lock
from urllib.parse import parse_qs, parse_qsl, urlsplit

from azure.core.exceptions import ServiceRequestError, ServiceResponseError
from azure.core.pipeline import PipelineRequest, PipelineResponse
from azure.core.rest import HttpRequest, HttpResponse
from azure.storage.blob import ExponentialRetry

LIFE = 1800.0
"""Seconds that a signature is used for at the most; the service gives it for an hour."""
LONGEST_WAIT = 60.0
"""Seconds that a service that is busy is left alone at the most, whatever it says."""
_FORBIDDEN, _TIMED_OUT, _THROTTLED, _SERVER = 403, 408, 429, 500
_NEVER = (501, 505)
"""Of these the answer stays what it is."""
_REFUSED = "AuthenticationFailed"
"""What a signature is refused with that is no longer good; a lack of rights has other codes."""

Rest = Callable[[float], None]


class Signature:
    """What lets requests into a container for a while; several threads may use it."""

    def __init__(self, first: str, ask: Callable[[], str]) -> None:
        """Begin with one.

        Args:
            first: it, as the query of an address.
            ask: gives a new one.
        """
        self._ask = ask
        self._lock = Lock()
        self._take(first)

    def put_on(self, request: HttpRequest) -> str:
        """Sign a request, which may have been signed before; gives the signature.

        Raises:
            SystemUnavailable: a new one is needed, and not given.
        """
        with self._lock:
            if time.monotonic() > self._good_until:
                self._take(self._ask())
            current, own = self._current, self._own
        url, _, query = request.url.partition("?")
        kept = [part for part in query.split("&") if part and part.partition("=")[0] not in own]
        request.url = f"{url}?{'&'.join((*kept, current))}"
        return current

    def renew(self, refused: str) -> None:
        """Ask for another one, unless another thread has.

        Raises:
            SystemUnavailable: it is not given.
        """
        with self._lock:
            if self._current == refused:
                self._take(self._ask())

    def _take(self, token: str) -> None:
        self._current = token
        self._own = {name for name, _ in parse_qsl(token, keep_blank_values=True)}
        self._good_until = time.monotonic() + _life(token)


class Patience(ExponentialRetry):
    """The storage client's retries, but for what it knows nothing of: throttling, and signatures that end meanwhile.

    A request's option `rest` waits in place of `time.sleep`, and may end the request by raising.
    """

    def __init__(self, signature: Signature | None, retries: int, interval: float) -> None:
        """Make one for a client.

        Args:
            signature: of its requests; none: they are signed in another way.
            retries: how often a request is made again.
            interval: seconds before the second time, for the first is at once; twice as many each time after.
        """
        # Each turn of the loop below is one try of the client's own policy.
        super().__init__(initial_backoff=0, retry_total=0, retry_connect=0, retry_read=0, retry_status=0)
        self._signature = signature
        self._retries = retries
        self._interval = interval

    def send(self, request: PipelineRequest[HttpRequest]) -> PipelineResponse[HttpRequest, HttpResponse]:
        """Send a request as often as it takes and is allowed."""
        rest: Rest = request.context.options.pop("rest", time.sleep)
        tries, renewed = 0, False
        while True:
            signed = self._signature.put_on(request.http_request) if self._signature else ""
            last = tries == self._retries
            tries += 1
            try:
                response: PipelineResponse[HttpRequest, HttpResponse] = super().send(request)  # type: ignore[no-untyped-call]  # it has no types
            except (ServiceRequestError, ServiceResponseError):
                if last:
                    raise
                rest(self._pause(tries))
                continue
            answer = response.http_response
            if self._signature and _is_refused(answer) and not renewed:
                self._signature.renew(signed)
                tries, renewed = tries - 1, True
            elif is_passing(answer.status_code) and not last:
                rest(_asked(answer) or self._pause(tries))
            else:
                return response

    def _pause(self, tries: int) -> float:
        return 0.0 if tries == 1 else min(LONGEST_WAIT, float(self._interval * 2 ** min(tries - 2, 10)))


def is_passing(status: int) -> bool:
    """Whether an answer may be another one in a while."""
    return status in (_TIMED_OUT, _THROTTLED) or (status >= _SERVER and status not in _NEVER)


def _is_refused(answer: HttpResponse) -> bool:
    return answer.status_code == _FORBIDDEN and answer.headers.get("x-ms-error-code", _REFUSED) == _REFUSED


def _asked(answer: HttpResponse) -> float:
    """How many seconds a service asks to be left alone; 0: it does not say."""
    said = str(answer.headers.get("Retry-After", ""))
    return min(LONGEST_WAIT, float(said)) if said.isdecimal() else 0.0


def _life(token: str) -> float:
    """For how many seconds to use a signature: half of what is left of it, as far as its end can be read."""
    said = parse_qs(urlsplit(f"?{token}").query).get("se", [""])[0]
    try:
        end = datetime.fromisoformat(said)
    except ValueError:
        return LIFE
    left = (end if end.tzinfo else end.replace(tzinfo=UTC)).timestamp() - time.time()
    return min(LIFE, left / 2) if left > 0 else LIFE  # if it has ended already, it is this machine's clock that errs
