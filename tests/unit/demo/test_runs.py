"""Records and counts of runs."""

from oaicompat_proxy.demo.runs import MAX_RECORDS, RunRecord, Runs, raw_items
from oaicompat_proxy.demo.script import DropConnection, Pause, Raw, RawScript


def record(name: str = "s") -> RunRecord:
    return RunRecord(f"demo:{name}", name, [], {})


def test_counts() -> None:
    runs = Runs()
    records = [record() for _ in range(4)]
    for each in records:
        runs.add(each)
    runs.end(records[0], "finished")
    runs.end(records[1], "failed")
    runs.end(records[2], "aborted")
    assert (runs.started, runs.running, runs.finished, runs.failed, runs.aborted) == (4, 1, 1, 1, 1)
    assert [each.status for each in runs] == ["finished", "failed", "aborted", "running"]


def test_only_the_latest_are_remembered_but_all_are_counted() -> None:
    runs = Runs()
    for number in range(MAX_RECORDS + 5):
        runs.add(record(str(number)))
    assert (len(runs), runs.started) == (MAX_RECORDS, MAX_RECORDS + 5)
    assert runs[0].session_id == "5"


def test_a_raw_script_is_sent_unchanged() -> None:
    assert [*raw_items(RawScript((Raw(b"x"), Pause(2), DropConnection())))] == [b"x", Pause(2), DropConnection()]
