"""Serves an agent by uvicorn on a free port and prints its address: run by each agent's own environment."""

import os
import socket
import sys

import uvicorn

MODEL = os.environ.get("OPENAI_BASE_URL", "")
"""The scripted model; each framework's OpenAI client finds it here, too."""


def almanac_says(port):
    return f"high water in {port} at 06:12"


def launched(ship, reason):
    return f"{ship} afloat for {reason}"


def serve(app, path="/"):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sys.stdout.write(f"serves http://127.0.0.1:{listener.getsockname()[1]}{path}\n")
        sys.stdout.flush()
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run([listener])
