"""The tree of errors that clients get.

Each class has an HTTP status, a name (`code`), and `should_retry`: whether the client may send the same request again.
A run may have side effects (decision D12), so `should_retry` is false once a request may have reached the agent; None
leaves it to the client's own rule. A message says what went wrong and what to do.

Each client API encodes the errors in its own form. Source of the statuses: RFC 9110 section 15. Where clients act on a
code, it is the code of the API that they know; codes that begin with `upstream_` and `agent_` are this project's own.
"""

from __future__ import annotations

from typing import TypeVar

E = TypeVar("E", bound=BaseException)

CONVERSATION = "messages"
"""The `param` of an error about the conversation, if it is found after parsing. An API may replace it by its own field.
"""


class ProxyError(Exception):
    """Root of all errors that clients get. Status 500: without a subclass, it is a fault of this proxy."""

    status = 500
    code: str | None = None
    """The error's name in answers, logs and metrics; None where its class is enough."""
    should_retry: bool | None = None
    retry_after: float | None = None
    """Seconds after which another attempt makes sense, or None."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code
        if retry_after is not None:
            self.retry_after = retry_after


class InternalError(ProxyError):
    """500: a bug in this proxy. The message is fixed; the cause is in the log."""

    should_retry = False

    def __init__(self) -> None:
        super().__init__(
            "The proxy had an error while processing your request; its log has the cause, under this request's id."
        )


class Overloaded(ProxyError):
    """503: `--max-runs` runs are active, and the queue is full or the wait was too long; nothing was run."""

    status = 503
    code = "too_many_runs"
    should_retry = True
    retry_after = 2.0


class StoreUnavailable(ProxyError):
    """503: Redis or the file of `--response-db` cannot be used, so using stored data is not safe; nothing was run."""

    status = 503
    code = "sessions_unavailable"  # sessions were the first stored data; clients may know the code
    should_retry = True
    retry_after = 2.0

    @property
    def cause(self) -> str:
        """What Redis or SQLite said, for the log."""
        cause = self.__cause__
        return cause.cause if isinstance(cause, StoreUnavailable) else str(cause or self.message)


class AnswerNotStored(ProxyError):
    """503: the agent has answered, and the conversation of the answer could not be stored."""

    status = 503
    code = "answer_not_stored"
    should_retry = False


class IdempotencyFull(ProxyError):
    """503: `--max-idempotent` requests with an `Idempotency-Key` are running; nothing was run for this one."""

    status = 503
    code = "idempotency_full"
    should_retry = True
    retry_after = 2.0


class TooManyConnections(ProxyError):
    """503: more connections than `--max-connections`; nothing was run."""

    status = 503
    code = "too_many_connections"
    should_retry = True
    retry_after = 2.0


class RunElsewhere(ProxyError):
    """503: another process of this server makes the answer; nothing was done."""

    status = 503
    code = "run_elsewhere"
    should_retry = True
    retry_after = 1.0


class IssuerUnavailable(ProxyError):
    """503: the keys of `--jwt-issuer` cannot be fetched, so no token can be verified; nothing was run."""

    status = 503
    code = "issuer_unavailable"
    should_retry = True
    retry_after = 5.0


class ServerStopping(ProxyError):
    """503: this proxy is stopping, and nothing was run; another server can answer the request."""

    status = 503
    code = "server_stopping"
    should_retry = True
    retry_after = 2.0


class AnswerCut(ProxyError):
    """503: this proxy is stopping, and the run did not end within `--drain-timeout`."""

    status = 503
    code = "answer_cut"
    should_retry = False


# Errors of the client: the request cannot be served as it is.


class InvalidRequest(ProxyError):
    """400: the request does not follow the API, or asks for something that an agent run cannot give."""

    status = 400


class MissingKey(InvalidRequest):
    """401: the request has no API key."""

    status = 401
    should_retry = False
    challenge = 'Bearer realm="oaicompat-proxy"'
    """The value of `WWW-Authenticate`."""


class InvalidKey(MissingKey):
    """401: the API key is unknown, here or (with `--pass-authorization`) at the gateway."""

    code = "invalid_api_key"
    challenge = f'{MissingKey.challenge}, error="invalid_token"'


class InvalidToken(InvalidKey):
    """401: the token is not one of `--jwt-issuer`, is not meant for this server, or is not valid now."""

    code = "invalid_token"


class Forbidden(InvalidRequest):
    """403: the caller may not do this, by its key's entry or (with `--pass-authorization`) by the gateway."""

    status = 403
    code = "permission_denied"
    should_retry = False


class OriginNotAllowed(InvalidRequest):
    """403: the request comes from a web page whose origin is not allowed; nothing was run."""

    status = 403
    code = "origin_not_allowed"
    should_retry = False


class HostNotAllowed(InvalidRequest):
    """403: the request is for a host name that this server does not serve; nothing was run."""

    status = 403
    code = "host_not_allowed"
    should_retry = False


class NotFound(InvalidRequest):
    """404: the path does not exist."""

    status = 404


class ModelNotFound(NotFound):
    """404: the gateway has no app of this name, or the key may not use it."""

    code = "model_not_found"


class MethodNotAllowed(InvalidRequest):
    """405: the path exists, but not with this method."""

    status = 405
    code = "method_not_supported"

    def __init__(self, allowed: list[str]) -> None:
        super().__init__(f"Only {' and '.join(allowed)} requests are accepted.")
        self.allowed = allowed


class BodyTooLarge(InvalidRequest):
    """413: the body is larger than `--max-body`."""

    status = 413
    code = "request_too_large"


class UnsupportedEncoding(InvalidRequest):
    """415: the body is compressed with another encoding than gzip or deflate, or with several."""

    status = 415
    code = "unsupported_content_encoding"
    accepted = "gzip, deflate"


class TransferCodingNotSupported(InvalidRequest):
    """501: the body has a transfer coding other than `chunked`."""

    status = 501
    code = "unsupported_transfer_encoding"
    should_retry = False


class VersionNotSupported(InvalidRequest):
    """505: the request has another HTTP version than 1.1 and 1.0."""

    status = 505
    code = "unsupported_http_version"
    should_retry = False


class RequestTimeout(InvalidRequest):
    """408: the request did not arrive in time; nothing was run."""

    status = 408
    code = "request_timeout"
    should_retry = True


class HeadTooLarge(InvalidRequest):
    """431: the first line and the headers are larger than `--max-head`."""

    status = 431
    code = "head_too_large"


class SessionBusy(InvalidRequest):
    """409: another run of the same session is still running; nothing was run."""

    status = 409
    code = "session_busy"
    should_retry = True
    retry_after = 2.0


class EntryBusy(InvalidRequest):
    """409: other requests change the same stored entry at the same time; nothing was changed."""

    status = 409
    code = "conflict"
    should_retry = True
    retry_after = 1.0


class IdempotencyKeyReused(InvalidRequest):
    """409: the `Idempotency-Key` belongs to another request; nothing was run for this one."""

    status = 409
    code = "idempotency_key_reused"
    should_retry = False


class IdempotentAnswerGone(InvalidRequest):
    """409: the run of this request has begun before, but its answer is not stored; it does not run again."""

    status = 409
    code = "idempotent_answer_gone"
    should_retry = False


class RunCancelled(InvalidRequest):
    """409: a client has cancelled the run by the id of its answer."""

    status = 409
    code = "run_cancelled"
    should_retry = False


class RateLimited(ProxyError):
    """429: the key has used up its requests for now; nothing was run."""

    status = 429
    code = "rate_limit_exceeded"
    should_retry = True


class BudgetExhausted(ProxyError):
    """429: the key, or its user, has used up a budget; nothing was run."""

    status = 429
    code = "insufficient_quota"
    should_retry = False


class TooManyRuns(ProxyError):
    """429: the key has as many runs as it may have at once; nothing was run."""

    status = 429
    code = "too_many_runs"
    should_retry = True
    retry_after = 2.0


class DiagnosticsBusy(InvalidRequest):
    """429: the limit of test streams for `doctor` is reached; nothing was run."""

    status = 429
    code = "diagnostics_busy"
    should_retry = True
    retry_after = 60.0


class ExpectationFailed(InvalidRequest):
    """417: the request has an `Expect` header that this server cannot meet."""

    status = 417


class ContextTooLong(InvalidRequest):
    """400: the prompt is too long for the agent's model."""

    code = "context_length_exceeded"
    should_retry = False


# Errors of the gateway, the agent or its model provider.


class UpstreamError(ProxyError):
    """502: the gateway broke its protocol."""

    status = 502
    code = "upstream_error"
    should_retry = False


class UpstreamUnreachable(UpstreamError):
    """502: no connection to the gateway could be made, so nothing was run and a retry is safe."""

    code = "upstream_unreachable"
    should_retry = True


class UpstreamRefused(UpstreamError):
    """502: the gateway rejected the call. Not 401, because the rejected token is the proxy's, not the client's key."""

    code = "upstream_refused"


class UpstreamRateLimited(UpstreamError):
    """429: the gateway, or what stands before it, limits this proxy's calls (429); nothing was run."""

    status = 429
    code = "rate_limit_exceeded"
    should_retry = True


class UpstreamOverloaded(UpstreamError):
    """503: the gateway, or what stands before it, has no capacity (503) and does not say when; a run may have begun."""

    status = 503
    code = "server_is_overloaded"


class UpstreamBusy(UpstreamOverloaded):
    """503: the gateway has no capacity (503) and says when to try again; nothing was run."""

    should_retry = True


class UpstreamFrameTooLong(UpstreamError):
    """502: one event of the agent is larger than `--max-frame`."""

    code = "upstream_frame_too_long"


class UpstreamAnswerTooLong(UpstreamError):
    """502: an answer that is not streamed, or the held part of a streamed one, is larger than `--max-answer`."""

    code = "upstream_answer_too_long"


class UpstreamInterrupted(UpstreamError):
    """502: the event stream ended before the event that ends a run."""

    code = "upstream_interrupted"


class SessionLockLost(UpstreamError):
    """502: the run was stopped because its session's lock in Redis was lost, and another run could have begun."""

    code = "session_lock_lost"


class UpstreamTimeout(UpstreamError):
    """504: the gateway or the agent was silent for longer than `--silence-timeout`."""

    status = 504
    code = "upstream_timeout"


class UpstreamConnectTimeout(UpstreamTimeout):
    """504: no connection to the gateway was made in time, so nothing was run and a retry is safe."""

    code = "upstream_connect_timeout"
    should_retry = True


class UpstreamStartTimeout(UpstreamTimeout):
    """504: the agent sent nothing within `--first-event-timeout`."""

    code = "upstream_start_timeout"


class AgentRunTimeout(UpstreamTimeout):
    """504: the run took longer than `--run-timeout` and was stopped."""

    code = "agent_run_timeout"


class AgentError(UpstreamError):
    """502: the agent reported that the run failed."""

    code = "agent_error"


class AgentAborted(AgentError):
    """502: the run was aborted by another party."""

    code = "agent_aborted"


class AgentUnanswerable(AgentError):
    """502: the agent waits for a confirmation, and its gateway has no call to give one."""

    code = "agent_unanswerable"


class AgentOutputInvalid(AgentError):
    """502: with `--structured check`, the answer is not the JSON that the request asks for."""

    code = "agent_output_invalid"
    head = "Invalid structured answer: "
    """The beginning of the message, in every API."""

    def __init__(self, reason: str) -> None:
        super().__init__(self.head + reason)


class AgentOverloaded(AgentError):
    """503: the agent's model provider is overloaded."""

    status = 503
    code = "server_is_overloaded"


class AgentRateLimited(AgentError):
    """429: the agent's model provider limits its rate."""

    status = 429
    code = "rate_limit_exceeded"
    retry_after = 5.0


class AgentQuotaExceeded(AgentError):
    """429: the agent has no credit left at its model provider."""

    status = 429
    code = "insufficient_quota"


class AgentUnauthorized(AgentError):
    """502: the model provider rejected the agent's credentials. Not 401, because the client's key is valid."""

    code = "agent_unauthorized"


class AgentTimeout(UpstreamTimeout):
    """504: the agent or its model provider timed out."""

    code = "agent_timeout"


class AgentContentFiltered(InvalidRequest):
    """400: the agent's model provider rejected the prompt."""

    code = "content_filter"
    should_retry = False


def without_trace(error: E) -> E:
    """The error without its traceback and its cause. Their frames hold the request and its body; if one of them also
    holds the error, this is a cycle, which stays in memory until the garbage collector runs.
    """
    error.__cause__ = error.__context__ = None
    return error.with_traceback(None)
