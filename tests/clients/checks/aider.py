"""What aider shows."""

from showing import ask, joined, run, show, stopped


def version():
    return joined(run("aider --version")).split()[-1]


def plain():
    return joined(ask("Hello", AIDER_STREAM="false"))


def streaming():
    """From the first word of the answer on; the colours of a terminal would hold the text back where there is none."""
    pieces = ask("Hello", AIDER_PRETTY="false")
    start = next(index for index, text in enumerate(pieces) if "Hello!" in text)
    return pieces[start:]


def reasoning():
    return joined(ask("[[scenario:reasoning]]"))


def error():
    return "", joined(ask("[[scenario:fail]]", until="Retrying in 0.5"))


def refusal():
    return joined(ask("[[scenario:fail_start]]", until="Retrying"))


async def cancel():
    return await stopped(joined(ask("[[scenario:slow]]", until="I am", AIDER_PRETTY="false")))


show(version, plain, streaming, reasoning, error, refusal, cancel)
