"""Connection: a botocore client, and a short way for the calls that are made most.

Runs on driver and executors. botocore spends about 1 ms of CPU on any call; a planner that follows
1,000 shards at full rate makes 2,000 in a poll, and executors make two for each small range.

The first call of an operation goes through botocore. The request that botocore made of it is the
pattern of the next ones (:mod:`kinesis_source.aws.pattern`): endpoint, headers and signing are as
botocore chose them. They are sent through botocore's own HTTP session: proxies, certificates,
time-outs, connections and their errors stay botocore's. A reply other than a 200 of the form that
AWS writes goes to botocore's own parser, and becomes the reply or the ClientError it always was.
Where no pattern can be had, every call goes through botocore. Retries are not made here.
"""

from __future__ import annotations

import http.client
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import msgspec
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.endpoint import convert_to_response_dict
from botocore.hooks import first_non_none_response
from botocore.parsers import create_parser

from kinesis_source.aws.exchange import Exchange, Reply
from kinesis_source.aws.pattern import RequestPattern, is_signed_with, learn_pattern
from kinesis_source.aws.renewal import FrozenKeys
from kinesis_source.aws.signing import SigningClock
from kinesis_source.aws.timestamps import with_wire_timestamp

__all__ = ["Connection"]

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
# Operation, stream ARN, account of the keys (both make other hosts), with or without token.
_Key = tuple[str, str | None, str | None, bool]

_METHODS: Final = {
    "GetRecords": "get_records",
    "GetShardIterator": "get_shard_iterator",
    "PutRecords": "put_records",
}


class Connection:
    """A client, with GetRecords, GetShardIterator and PutRecords made short. Thread-safe.

    Parameters
    ----------
    client : botocore client
    credentials : RenewingCredentials
        The client's own.
    signing : SigningClock
        The client's own; told the headers of each reply as soon as it came.
    """

    def __init__(self, client: Any, credentials: Any, signing: SigningClock) -> None:
        self.client = client
        self._credentials = credentials
        self._signing = signing
        # botocore's own: no public name leads to it. Without it each call goes through botocore.
        self._http: Any = getattr(getattr(client, "_endpoint", None), "http_session", None)
        self._is_direct = credentials is not None and callable(getattr(self._http, "send", None))
        self._exchange = Exchange(self._http)
        # None: botocore's requests of this kind are of another form.
        self._patterns: dict[_Key, RequestPattern | None] = {}
        self._thread = threading.local()
        client.meta.events.register("before-send.kinesis", self._note)

    def ask(
        self,
        operation: str,
        params: dict[str, Any],
        decode: Callable[[bytes | memoryview], _T | None],
        read: Callable[[dict[str, Any]], _T],
    ) -> _T:
        """Make a call, once.

        Parameters
        ----------
        operation : str
            GetRecords, GetShardIterator or PutRecords.
        params : dict
            As botocore's clients take them.
        decode : callable
            Returns the value of a body with status 200, None if its form is not AWS's. Keeps
            nothing of the body.
        read : callable
            Returns the value of a reply that botocore parsed.

        Raises
        ------
        botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError
            As from botocore's client. What ``read`` and the credentials raise passes through.
        """
        if not self._is_direct:
            return read(self._plain(operation, params))
        keys = self._credentials.get_frozen_credentials()
        key = (operation, params.get("StreamARN"), keys.account_id, bool(keys.token))
        if key not in self._patterns:
            return read(self._learn(operation, params, key, keys))
        pattern = self._patterns[key]
        if pattern is None:
            return read(self._plain(operation, params))
        reply = self._send(operation, params, pattern, keys)
        if reply.status == http.client.OK:
            self._signing.observe(reply.headers)
            value = decode(reply.body)
            if value is not None:
                return value
        return read(self._parse(operation, pattern.url, reply))

    def _plain(self, operation: str, params: dict[str, Any]) -> dict[str, Any]:
        reply: dict[str, Any] = getattr(self.client, _METHODS[operation])(**params)
        return reply

    def _learn(
        self, operation: str, params: dict[str, Any], key: _Key, keys: FrozenKeys
    ) -> dict[str, Any]:
        """Make a call through botocore, and keep the pattern of its request."""
        noted: list[Any] = []
        self._thread.noted = noted
        try:
            reply = self._plain(operation, params)
        finally:
            self._thread.noted = None
        for request in noted[:1]:
            if is_signed_with(request, keys):
                pattern = learn_pattern(request, _body(params), keys)
                if pattern is None:
                    _log.info("%s goes through botocore: its requests have another form", operation)
                self._patterns[key] = pattern
        return reply

    def _note(self, request: Any, **_: Any) -> None:
        """Handle ``before-send``: show _learn the request that this thread sends."""
        noted = getattr(self._thread, "noted", None)
        if noted is not None:
            noted.append(request)

    def _send(
        self, operation: str, params: dict[str, Any], pattern: RequestPattern, keys: FrozenKeys
    ) -> Reply:
        body = _body(params)
        # A plain dict: botocore's own kind of headers costs 0.1 ms more, in urllib3.
        headers = pattern.headers(body, keys, self._signing.amz_date())
        request = AWSPreparedRequest("POST", pattern.url, headers, body, stream_output=True)
        events = self.client.meta.events
        answers = events.emit(f"before-send.kinesis.{operation}", request=request)
        response = first_non_none_response(answers)
        if response is None:
            reply = self._exchange.post(request)
            if reply is not None:
                return reply
            response = self._http.send(request)
        return Reply(response.status_code, response.headers, response.content)

    def _parse(self, operation: str, url: str, reply: Reply) -> dict[str, Any]:
        """Do with a reply what botocore's client does, handlers included."""
        response = AWSResponse(url, reply.status, reply.headers, _Read(bytes(reply.body)))
        events = self.client.meta.events
        model = self.client.meta.service_model.operation_model(operation)
        raw = convert_to_response_dict(response, model)
        custom: dict[str, Any] = {}
        events.emit(
            f"before-parse.kinesis.{operation}",
            operation_model=model,
            response_dict=raw,
            customized_response_dict=custom,
        )
        # learn_pattern made sure that the client speaks JSON.
        parsed: dict[str, Any] = create_parser("json").parse(raw, model.output_shape)
        parsed.update(custom)
        events.emit(
            f"after-call.kinesis.{operation}",
            http_response=response,
            parsed=parsed,
            model=model,
            context={},
        )
        if response.status_code >= 300:
            code = parsed.get("Error", {}).get("Code")
            raise self.client.exceptions.from_code(code)(parsed, operation)
        return parsed


class _Read:
    """A body that was read, as botocore takes it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self) -> Iterator[bytes]:
        yield self._body


def _body(params: dict[str, Any]) -> bytes:
    return msgspec.json.encode(with_wire_timestamp(params))
