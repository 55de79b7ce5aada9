import pytest

from oaicompat_proxy.core.signing import Secrets, SigningKeys
from oaicompat_proxy.server.sessions.session_token import new_token, read_token

OLD, NEW = SigningKeys(Secrets([b"old"])), SigningKeys(Secrets([b"new", b"old"]))


def token(keys: SigningKeys = OLD, scope: str = "alice", model: str = "owl") -> str:
    return new_token(keys, scope, model, "resp_1", until=100)


def test_its_caller_reads_it_until_it_expires() -> None:
    assert read_token(OLD, "alice", "owl", token(), now=99) == "resp_1"
    assert read_token(NEW, "alice", "owl", token(), now=99) == "resp_1"
    assert read_token(OLD, "alice", "owl", token(), now=100) == ""


@pytest.mark.parametrize(
    ("scope", "model", "given"),
    [
        ("bob", "owl", token()),
        ("alice", "bat", token()),
        ("alice", "owl", token(NEW)),
        ("alice", "owl", token().replace("resp_1", "resp_2")),
        ("alice", "owl", token().replace(".100.", ".900.")),
        ("alice", "owl", token()[:-1]),
        *(
            ("alice", "owl", given)
            for given in ("", "oct", "oct.a.b", "oct.a.b.c", "gAAAAA" * 30, "a.b.c.d.e", "\ud800")
        ),
    ],
)
def test_every_other_one_is_none(scope: str, model: str, given: str) -> None:
    assert read_token(OLD, scope, model, given, now=0) == ""
