import pytest

from oaicompat_proxy.core import errors
from oaicompat_proxy.core.events import RunFailed
from oaicompat_proxy.core.redaction import MAX_TEXT, redact
from oaicompat_proxy.translation.failures import RULES, classify, error_of_run, model_not_found

# what providers really say, and what it means
WORDINGS = [
    ("This model's maximum context length is 8192 tokens", errors.ContextTooLong, 400, "context_length_exceeded"),
    ("prompt is too long: 210000 tokens > 200000 maximum", errors.ContextTooLong, 400, "context_length_exceeded"),
    ("context_length_exceeded", errors.ContextTooLong, 400, "context_length_exceeded"),
    ("Input exceeds the context window", errors.ContextTooLong, 400, "context_length_exceeded"),
    ("too many input tokens", errors.ContextTooLong, 400, "context_length_exceeded"),
    ("Input is too long for requested model.", errors.ContextTooLong, 400, "context_length_exceeded"),
    (
        "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
        *(errors.ContextTooLong, 400, "context_length_exceeded"),
    ),
    ("This model's maximum prompt length is 131072", errors.ContextTooLong, 400, "context_length_exceeded"),
    (
        "Please reduce the length of the messages or completion.",
        *(errors.ContextTooLong, 400, "context_length_exceeded"),
    ),
    ("the request exceeds the available context size", errors.ContextTooLong, 400, "context_length_exceeded"),
    ("Your request exceeded model token limit: 262144", errors.ContextTooLong, 400, "context_length_exceeded"),
    (
        "ThrottlingException: Too many tokens, please wait before trying again.",
        *(errors.AgentRateLimited, 429, "rate_limit_exceeded"),
    ),
    ("429 You exceeded your current quota", errors.AgentQuotaExceeded, 429, "insufficient_quota"),
    ("Your credit balance is too low", errors.AgentQuotaExceeded, 429, "insufficient_quota"),
    ("Rate limit reached for gpt-x", errors.AgentRateLimited, 429, "rate_limit_exceeded"),
    ("429 Too Many Requests", errors.AgentRateLimited, 429, "rate_limit_exceeded"),
    ("It broke. (TOO_MANY_REQUESTS)", errors.AgentRateLimited, 429, "rate_limit_exceeded"),
    ("TooManyRequestsException: slow down", errors.AgentRateLimited, 429, "rate_limit_exceeded"),
    ("RESOURCE_EXHAUSTED: try later", errors.AgentRateLimited, 429, "rate_limit_exceeded"),
    ("Quota exceeded for metric generate_requests", errors.AgentRateLimited, 429, "rate_limit_exceeded"),
    ("Overloaded", errors.AgentOverloaded, 503, "server_is_overloaded"),
    ("It broke. (SERVICE_UNAVAILABLE)", errors.AgentOverloaded, 503, "server_is_overloaded"),
    ("529 {}", errors.AgentOverloaded, 503, "server_is_overloaded"),
    ("503 Service Unavailable", errors.AgentOverloaded, 503, "server_is_overloaded"),
    ("flagged by our content policy", errors.AgentContentFiltered, 400, "content_filter"),
    ("401 Incorrect API key provided", errors.AgentUnauthorized, 502, "agent_unauthorized"),
    ("Unauthorised", errors.AgentUnauthorized, 502, "agent_unauthorized"),
    ("403 Permission denied", errors.AgentUnauthorized, 502, "agent_unauthorized"),
    ("Request timed out.", errors.AgentTimeout, 504, "agent_timeout"),
    ("ETIMEDOUT: time-out", errors.AgentTimeout, 504, "agent_timeout"),
    ("DEADLINE_EXCEEDED: 60 s", errors.AgentTimeout, 504, "agent_timeout"),
    ("Deadline Exceeded", errors.AgentTimeout, 504, "agent_timeout"),
    ("Cannot read properties of undefined", errors.AgentError, 502, "agent_error"),
    ("order 14290 has 5030 items", errors.AgentError, 502, "agent_error"),
    ("", errors.AgentError, 502, "agent_error"),
]


@pytest.mark.parametrize(("words", "kind", "status", "code"), WORDINGS)
def test_the_meaning_is_read_from_the_words(words: str, kind: type[errors.ProxyError], status: int, code: str) -> None:
    error = classify(words)
    assert (type(error), error.status, error.code) == (kind, status, code)
    assert words in error.message


def test_every_meaning_has_a_wording_that_reaches_it() -> None:
    assert {rule.error for rule in RULES} == {row[1] for row in WORDINGS} - {errors.AgentError}


def test_a_run_that_was_started_is_not_to_be_sent_again() -> None:
    assert {classify(words).should_retry for words, *_ in WORDINGS} == {False}


def test_a_long_context_is_recognised_in_the_words_of_libraries() -> None:
    message = classify("prompt is too long").message
    assert "context_length_exceeded" in message
    assert "context window" in message


def test_a_refused_key_is_said_to_be_the_agents() -> None:
    assert "yours are fine" in classify("invalid api key").message


RUNS = [
    (RunFailed("Overloaded"), errors.AgentOverloaded),
    (RunFailed("Execution aborted", aborted=True), errors.AgentAborted),
    (RunFailed('Unknown app "x". Available: a, b', unknown_app=True), errors.ModelNotFound),
    (RunFailed("Unknown app of somebody's"), errors.AgentError),
]


@pytest.mark.parametrize(("event", "kind"), RUNS)
def test_a_failed_run_is_counted_by_its_kind(event: RunFailed, kind: type[errors.ProxyError]) -> None:
    assert type(error_of_run(event, model="owl")) is kind


def test_an_unknown_app_does_not_tell_the_names_of_the_others() -> None:
    error = error_of_run(RunFailed('Unknown app "x". Available: secret', unknown_app=True), model="owl")
    assert error.message == "The model `owl` does not exist or you do not have access to it."
    assert (error.status, error.code) == (404, "model_not_found")


def test_a_long_model_name_is_shortened() -> None:
    assert len(model_not_found("x" * 10_000).message) < MAX_TEXT + 100


SECRETS = [
    ("bad key sk-proj-0123456789abcdef", "bad key [redacted]"),
    ("sk-ant-api03-AbC_dEf-012345", "[redacted]"),
    ("ghp_0123456789abcdefghij", "[redacted]"),
    ("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
    ("xoxb-123456789012-abc", "[redacted]"),
    ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
    ("basic dXNlcjpwYXNz", "basic [redacted]"),
    ('{"api_key": "hunter2"}', '{"api_key": "[redacted]"}'),
    ("https://x.example/?key=abc&token=def", "https://x.example/?key=[redacted]&token=[redacted]"),
    ("password=hunter2 user=me", "password=[redacted] user=me"),
    ("postgres://me:hunter2@db.example/x", "postgres://[redacted]@db.example/x"),
    ("a" * 40, "[redacted]"),
    ("QUJD" * 12 + "==", "[redacted]"),
]
HARMLESS = [
    "It broke.",
    "The token was not found",
    "no such file: /etc/harbor/tides.json",
    "id 5ea00001-0000-4000-8000-00000000c0de",
    "https://docs.example/errors#42",
    "skateboarding and skyscrapers are fine",
    "mail to pilot@harbor.example",
]


@pytest.mark.parametrize(("text", "expected"), SECRETS)
def test_a_secret_is_not_passed_on(text: str, expected: str) -> None:
    assert redact(text) == expected


@pytest.mark.parametrize("text", HARMLESS)
def test_what_is_no_secret_is_passed_on(text: str) -> None:
    assert redact(text) == text


@pytest.mark.parametrize(
    "trace",
    [
        "\n    at Socket.onend (/srv/agent/net.js:7:1)\n    at emit (x)",
        '\nTraceback (most recent call last):\n  File "/srv/agent.py", line 1',
        '\n  File "/srv/agent.py", line 1, in f',
        "\n\n\n   at x",
        " Traceback (most recent call last): x",
    ],
)
def test_a_stack_trace_is_not_passed_on(trace: str) -> None:
    assert redact("It broke." + trace) == "It broke."


def test_line_ends_become_spaces() -> None:
    assert redact(" a\r\n\tb\u2028c ") == "a b c"


@pytest.mark.parametrize("length", [MAX_TEXT - 1, MAX_TEXT, MAX_TEXT + 1, 1_000_000])
def test_a_long_text_is_shortened(length: int) -> None:
    text = ("no " * (length // 3 + 1))[:length].strip()
    shortened = redact(text)
    assert shortened == (text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + "…")


@pytest.mark.timeout(10)
@pytest.mark.parametrize("piece", ["\n", " ", "://", "://a", "token=", "sk-", "a", "/", "\n at"])
def test_a_hostile_text_costs_linear_time(piece: str) -> None:
    """Quadratic work on this much would take minutes."""
    classify(piece * (1_000_000 // len(piece)))


@pytest.mark.parametrize("words", ["no entry for hush-hush", "hush-hush, " * 200, "x " * 248 + "hush-hush"])
def test_a_secret_that_is_known_is_not_passed_on_whatever_it_looks_like(words: str) -> None:
    for error in (classify(words, secret="hush-hush"), error_of_run(RunFailed(words), model="owl", secret="hush-hush")):
        assert "hush" not in error.message
    assert "hush" in classify(words).message
