"""Checks the output of the command `llm`."""

from showing import joined, run, show, stopped

WEATHER = """--functions 'def weather(city: str) -> str:
    return f"21 degrees in {city}"'"""


def llm(question, flags="", **more):
    return run(f'llm -m agent {flags} "{question}"', **more)


def version():
    return joined(run("llm --version")).split()[-1]


def plain():
    return joined(llm("Hello", "--no-stream"))


def streaming():
    return llm("Hello")


def tools():
    return joined(llm("What is the weather in Paris?", WEATHER))


def reasoning():
    return joined(llm("[[scenario:reasoning]]"))


def error():
    return "", joined(llm("[[scenario:fail]]"))


def refusal():
    return joined(llm("[[scenario:fail_start]]"))


async def cancel():
    return await stopped(joined(llm("[[scenario:slow]]", until="I am")))


show(version, plain, streaming, tools, reasoning, error, refusal, cancel)
