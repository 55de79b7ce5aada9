"""One tree of errors: what each means to a client.

A class says which side failed (status), what the error is called (`code`) and whether sending
the same request again is safe (`should_retry`, decision D12: a run may have side effects, so once a request
may have reached the agent the answer is no; None leaves it to the client's own rule).
The message is written for the person who reads it in a client: what went wrong and what to do.

Each client API words them in its own way. Source of the statuses: RFC 9110 section 15. Where clients act on a code,
the code is theirs; codes that begin with `upstream_` and `agent_` are this project's own.
"""

from __future__ import annotations


class ProxyError(Exception):
    """Root of all errors that may be shown to a client; itself a fault of this proxy."""

    status = 500
    code: str | None = None
    """What the error is called in answers, logs and metrics; None where its class says enough."""
    should_retry: bool | None = None
    retry_after: float | None = None
    """Seconds after which another attempt makes sense, or None."""

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        if code is not None:
            self.code = code


class InternalError(ProxyError):
    """500: a fault in this proxy. The text is fixed: the cause is for the log."""

    should_retry = False

    def __init__(self) -> None:
        super().__init__("The proxy had an error while processing your request; its log tells more.")


class Overloaded(ProxyError):
    """503: as many runs go on as this proxy takes, and others wait already; nothing was run."""

    status = 503
    code = "too_many_runs"
    should_retry = True
    retry_after = 2.0


class SessionsUnavailable(ProxyError):
    """503: what workers share about sessions cannot be reached, so a lasting one is not safe; nothing was run."""

    status = 503
    code = "sessions_unavailable"
    should_retry = True
    retry_after = 2.0


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


class ServerStopping(ProxyError):
    """503: this proxy is stopping, and nothing was run: another one, or the next, can serve the request."""

    status = 503
    code = "server_stopping"
    should_retry = True
    retry_after = 2.0


class AnswerCut(ProxyError):
    """503: this proxy is stopping, and the run was not over within `--drain-timeout`."""

    status = 503
    code = "answer_cut"
    should_retry = False


# The client's side: the request cannot be served as it is.


class InvalidRequest(ProxyError):
    """400: the request is not what the API describes, or asks for what an agent run cannot give."""

    status = 400


class MissingKey(InvalidRequest):
    """401: the request shows no API key."""

    status = 401
    should_retry = False
    challenge = 'Bearer realm="oaicompat-proxy"'
    """What `WWW-Authenticate` says."""


class InvalidKey(MissingKey):
    """401: there is no such API key, here or (with `--pass-authorization`) at the gateway."""

    code = "invalid_api_key"
    challenge = f'{MissingKey.challenge}, error="invalid_token"'


class Forbidden(InvalidRequest):
    """403: the gateway forbids this to the client's key, which `--pass-authorization` gave it."""

    status = 403
    code = "permission_denied"
    should_retry = False


class OriginNotAllowed(InvalidRequest):
    """403: a web page that is not allowed to call sent the request; nothing was run."""

    status = 403
    code = "origin_not_allowed"
    should_retry = False


class HostNotAllowed(InvalidRequest):
    """403: the request was for a host name that this server does not answer to; nothing was run."""

    status = 403
    code = "host_not_allowed"
    should_retry = False


class NotFound(InvalidRequest):
    """404: nothing is served at this address."""

    status = 404


class ModelNotFound(NotFound):
    """404: the gateway has no app of this name, or the key may not use it."""

    code = "model_not_found"


class MethodNotAllowed(InvalidRequest):
    """405: the address is right, the method is not."""

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
    """415: the body is compressed in another way than gzip or deflate, or in two."""

    status = 415
    code = "unsupported_content_encoding"
    accepted = "gzip, deflate"


class TransferCodingNotSupported(InvalidRequest):
    """501: the body is sent in a transfer coding other than `chunked`."""

    status = 501
    code = "unsupported_transfer_encoding"
    should_retry = False


class VersionNotSupported(InvalidRequest):
    """505: the request is of another version of HTTP than 1.1 and 1.0."""

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
    """409: another run of the same session is still going on; nothing was run."""

    status = 409
    code = "session_busy"
    should_retry = True
    retry_after = 2.0


class IdempotencyKeyReused(InvalidRequest):
    """409: the `Idempotency-Key` belongs to another request; nothing was run for this one."""

    status = 409
    code = "idempotency_key_reused"
    should_retry = False


class IdempotentAnswerGone(InvalidRequest):
    """409: the run of this `Idempotency-Key` was begun, but its answer is not kept; it is not run again."""

    status = 409
    code = "idempotent_answer_gone"
    should_retry = False


class RateLimited(ProxyError):
    """429: the key has used up its requests for now; nothing was run."""

    status = 429
    code = "rate_limit_exceeded"
    should_retry = True

    def __init__(self, message: str, *, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class TooManyRuns(ProxyError):
    """429: the key has as many runs going on as it may; nothing was run."""

    status = 429
    code = "too_many_runs"
    should_retry = True
    retry_after = 2.0


class DiagnosticsBusy(InvalidRequest):
    """429: as many test streams for `doctor` run as are allowed; nothing was run."""

    status = 429
    code = "diagnostics_busy"
    should_retry = True
    retry_after = 60.0


class ExpectationFailed(InvalidRequest):
    """417: the request expects what this server cannot do."""

    status = 417


class ContextTooLong(InvalidRequest):
    """400: the agent's model cannot take that much."""

    code = "context_length_exceeded"
    should_retry = False


# The agent's side: the gateway, or the run behind it.


class UpstreamError(ProxyError):
    """502: the gateway did not give what its protocol promises."""

    status = 502
    code = "upstream_error"
    should_retry = False


class UpstreamUnreachable(UpstreamError):
    """502: no connection could be made, so nothing was run and trying again is safe."""

    code = "upstream_unreachable"
    should_retry = True


class UpstreamRefused(UpstreamError):
    """502: the gateway rejected the call: its token is ours, so a client's 401 would blame the wrong key."""

    code = "upstream_refused"


class UpstreamFrameTooLong(UpstreamError):
    """502: one event of the agent is larger than `--max-frame`."""

    code = "upstream_frame_too_long"


class UpstreamAnswerTooLong(UpstreamError):
    """502: an answer that is not streamed, or what is held back of one that is, is larger than `--max-answer`."""

    code = "upstream_answer_too_long"


class UpstreamInterrupted(UpstreamError):
    """502: the event stream stopped without the agent's last word."""

    code = "upstream_interrupted"


class SessionLockLost(UpstreamError):
    """502: the run was stopped: its session's lock in Redis could not be held, and another run could have begun."""

    code = "session_lock_lost"


class UpstreamTimeout(UpstreamError):
    """504: the gateway or the agent was silent for longer than `--silence-timeout`."""

    status = 504
    code = "upstream_timeout"


class UpstreamConnectTimeout(UpstreamTimeout):
    """504: no connection could be made in time, so nothing was run and trying again is safe."""

    code = "upstream_connect_timeout"
    should_retry = True


class UpstreamStartTimeout(UpstreamTimeout):
    """504: the agent gave no first sign within `--first-event-timeout`."""

    code = "upstream_start_timeout"


class AgentRunTimeout(UpstreamTimeout):
    """504: the run took longer than `--run-timeout`, and was stopped."""

    code = "agent_run_timeout"


class AgentError(UpstreamError):
    """502: the run failed, and the agent said so."""

    code = "agent_error"


class AgentAborted(AgentError):
    """502: somebody ended the run from outside."""

    code = "agent_aborted"


class AgentUnanswerable(AgentError):
    """502: the agent waits for a confirmation, and its gateway's release cannot be given one."""

    code = "agent_unanswerable"


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
    """429: the agent's model provider has no credit left for the agent."""

    status = 429
    code = "insufficient_quota"


class AgentUnauthorized(AgentError):
    """502: the agent's model provider refused the agent; a 401 would blame the client's key."""

    code = "agent_unauthorized"


class AgentTimeout(UpstreamTimeout):
    """504: the agent, or its model provider, gave up waiting."""

    code = "agent_timeout"


class AgentContentFiltered(InvalidRequest):
    """400: the agent's model provider rejected the prompt."""

    code = "content_filter"
    should_retry = False
