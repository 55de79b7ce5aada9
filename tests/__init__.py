import sys
from pathlib import Path

# With PYTHONDONTWRITEBYTECODE each process would compile the tests and their libraries again, which is half the time of
# collecting them. Bytecode is kept here instead, and not beside the sources. Programs that tests start are not changed.
if sys.dont_write_bytecode:
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(Path(__file__).parents[1] / ".pytest_cache" / "bytecode")
