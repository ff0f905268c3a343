"""From an HTTP request to a reply: who calls, what is asked, which faults strike, what is logged.

One `Service` serves all threads. It never raises: every refusal becomes a reply in the form of the
service that was called. Paths under ``/_emulator`` are the emulator's own (see `admin`).
"""

import logging
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4

from . import ops_data, ops_shards, ops_streams, sts, wire
from .calls import Call, CallLog
from .context import Context
from .errors import AwsError
from .faults import REFUSALS, Fault, Faults, Target
from .iam import Credential, Iam
from .limits import LimitKeeper
from .ops_data import RecordsPage
from .shapes import read_params
from .sigv4 import Scope, SignedRequest, authenticate, read_scope
from .store import Store
from .wire import Response

_log = logging.getLogger(__name__)
_TARGET = "Kinesis_20131202."
_HANG_S = 60.0

Operation = Callable[[Context], dict[str, Any] | RecordsPage]

OPERATIONS: dict[str, Operation] = {
    "AddTagsToStream": ops_streams.add_tags,
    "CreateStream": ops_streams.create_stream,
    "DecreaseStreamRetentionPeriod": ops_streams.decrease_retention,
    "DeleteStream": ops_streams.delete_stream,
    "DescribeLimits": ops_streams.describe_limits,
    "DescribeStream": ops_streams.describe_stream,
    "DescribeStreamSummary": ops_streams.describe_stream_summary,
    "GetRecords": ops_data.get_records,
    "GetShardIterator": ops_data.get_shard_iterator,
    "IncreaseStreamRetentionPeriod": ops_streams.increase_retention,
    "ListShards": ops_shards.list_shards,
    "ListStreams": ops_streams.list_streams,
    "ListTagsForStream": ops_streams.list_tags,
    "MergeShards": ops_shards.merge_shards,
    "PutRecord": ops_data.put_record,
    "PutRecords": ops_data.put_records,
    "RemoveTagsFromStream": ops_streams.remove_tags,
    "SplitShard": ops_shards.split_shard,
    "UpdateMaxRecordSize": ops_streams.update_max_record_size,
    "UpdateShardCount": ops_shards.update_shard_count,
    "UpdateStreamMode": ops_streams.update_stream_mode,
}


class Service:
    """Answers requests from the parts of one emulator."""

    def __init__(
        self, store: Store, iam: Iam, limits: LimitKeeper, faults: Faults, calls: CallLog
    ) -> None:
        self.store = store
        self.iam = iam
        self.limits = limits
        self.faults = faults
        self.calls = calls
        self.stopping = threading.Event()

    def early_drop(self, headers: dict[str, str]) -> bool:
        """Whether a fault resets the connection before the body is read."""
        operation = headers.get("x-amz-target", "").removeprefix(_TARGET)
        if not operation or not self.faults.select(Target(operation), early=True):
            return False
        self.calls.add(Call(self.store.clock(), operation, None, None, None, 0, 0, "reset"))
        return True

    def answer(self, request: SignedRequest) -> Response:
        """Return the reply to a request of either service."""
        if request.headers.get("x-amz-target", "").startswith(_TARGET):
            return self._kinesis(request)
        return self._sts(request)

    # -- Kinesis ------------------------------------------------------------------------------

    def _kinesis(self, request: SignedRequest) -> Response:
        operation = request.headers["x-amz-target"].removeprefix(_TARGET)
        content_type = request.headers.get("content-type", "")
        as_cbor = wire.is_cbor(content_type)
        call: Context | None = None
        faults: list[Fault] = []
        error: AwsError | None = None
        try:
            call = self._context(operation, request, wire.decode_params(content_type, request.body))
            faults = call.faults = self.faults.select(self._target(call))
            drop = self._before(operation, faults)
            if drop is not None:
                return self._end(call, drop, None)
            response = wire.encode_reply(OPERATIONS[operation](call), as_cbor=as_cbor)
        except AwsError as refusal:
            error = refusal
            response = wire.encode_error(refusal, as_cbor=as_cbor)
        except Exception as bug:  # noqa: BLE001 - a broken request costs one reply, no connection
            _log.exception("%s failed", operation)
            error = AwsError("InternalFailureException", f"{type(bug).__name__}: {bug}", 500)
            response = wire.encode_error(error, as_cbor=as_cbor)
        if call is None:
            failed = Call(
                self.store.clock(),
                operation,
                None,
                None,
                None,
                0,
                response.status,
                _code(error),
                request.port,
            )
            self.calls.add(failed)
            return response
        return self._end(call, _after(response, faults), error)

    def _context(self, operation: str, request: SignedRequest, params: dict[str, Any]) -> Context:
        scope = read_scope(request.headers)
        caller = authenticate(self.iam, request, scope)
        if operation not in OPERATIONS:
            raise AwsError("UnknownOperationException", f"Unknown operation {operation}.")
        params = read_params(params)
        return Context(
            operation, params, caller, scope.region, self.store, self.limits, port=request.port
        )

    def _target(self, call: Context) -> Target:
        """Return what the call is about, for faults and log, without refusing anything yet."""
        token = call.params.get("ShardIterator") or call.params.get("NextToken")
        state = self.store.sealer.open(token) if isinstance(token, str) else None
        if state is not None and state[0] in {"iterator", "shards"}:
            stream = self.store.by_incarnation(state[1])
            call.stream_name = str(state[2])
            call.shard_id = state[3] if state[0] == "iterator" else None
            account_id = stream.account_id if stream is not None else call.account_id
            return Target(call.operation, account_id, call.stream_name, call.shard_id)
        account_id = call.account_id
        if "StreamName" in call.params or "StreamARN" in call.params:
            account_id, _, call.stream_name = call.named_stream()
        shard_id = call.params.get("ShardId")
        call.shard_id = shard_id if isinstance(shard_id, str) else None
        return Target(call.operation, account_id, call.stream_name, call.shard_id)

    def _end(self, call: Context, response: Response, error: AwsError | None) -> Response:
        status = 0 if response.drop else response.status
        self.calls.add(
            Call(
                call.now_s,
                call.operation,
                call.account_id,
                call.stream_name,
                call.shard_id,
                call.records,
                status,
                _code(error) or response.drop,
                call.port,
            )
        )
        return response

    # -- STS ----------------------------------------------------------------------------------

    def _sts(self, request: SignedRequest) -> Response:
        form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
        form = {**dict(parse_qsl(request.query)), **form}
        action, request_id = form.get("Action", "Unknown"), str(uuid4())
        error: AwsError | None = None
        caller: Credential | None = None
        faults: list[Fault] = []
        try:
            scope: Scope = read_scope(request.headers)
            caller = authenticate(self.iam, request, scope)
            faults = self.faults.select(Target(action, caller.identity.account_id))
            response = self._before(action, faults) or Response(
                200,
                wire.XML_TYPE,
                sts.render(action, sts.call(self.iam, caller, form), request_id),
            )
        except AwsError as refusal:
            error = sts.as_sts_error(refusal)
            response = Response(error.status, wire.XML_TYPE, sts.render_error(error, request_id))
        except Exception as bug:  # noqa: BLE001 - a broken request costs one reply, no connection
            _log.exception("%s failed", action)
            error = AwsError("InternalFailure", f"{type(bug).__name__}: {bug}", 500)
            response = Response(error.status, wire.XML_TYPE, sts.render_error(error, request_id))
        response = _after(response, faults)
        account_id = caller.identity.account_id if caller is not None else None
        status = 0 if response.drop else response.status
        self.calls.add(
            Call(
                self.store.clock(),
                action,
                account_id,
                None,
                None,
                0,
                status,
                _code(error) or response.drop,
                request.port,
            )
        )
        return response

    # -- faults -------------------------------------------------------------------------------

    def _before(self, operation: str, faults: list[Fault]) -> Response | None:
        """Delay, refuse or drop a call before its work; None lets it go on."""
        for fault in faults:
            if fault.kind == "delay":
                self.stopping.wait(fault.delay_s or 0.0)
            elif fault.kind == "hang":
                self._hang(_HANG_S if fault.delay_s is None else fault.delay_s)
                return Response(0, "", b"", drop="all")
            elif fault.kind == "reset_before_work":
                return Response(0, "", b"", drop="all")
            elif fault.kind == "http_error":
                return _http_error(fault)
            elif fault.kind in REFUSALS:
                raise fault.error(operation)
        return None

    def _hang(self, seconds: float) -> None:
        deadline_s = time.monotonic() + seconds
        while not self.stopping.is_set() and time.monotonic() < deadline_s:
            self.stopping.wait(min(1.0, deadline_s - time.monotonic()))


def _after(response: Response, faults: list[Fault]) -> Response:
    """Spoil a finished reply."""
    for fault in faults:
        if fault.kind == "reset_after_work":
            response.drop = "all"
        elif fault.kind == "reset_mid_body":
            response.drop = "half"
        elif fault.kind == "cut_body":
            response.body = response.body[: len(response.body) // 2]
    return response


def _http_error(fault: Fault) -> Response:
    status = fault.status or 500
    code = fault.code or ("ServiceUnavailable" if status == 503 else "InternalFailureException")
    message = fault.message or "Injected fault."
    if fault.html:
        page = f"<html><body><h1>{status} {code}</h1><p>{message}</p></body></html>"
        return Response(status, "text/html", page.encode())
    return wire.encode_error(AwsError(code, message, status), as_cbor=False)


def _code(error: AwsError | None) -> str | None:
    return None if error is None else error.code
