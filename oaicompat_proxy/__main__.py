"""`python -m oaicompat_proxy` is the same as `oaicompat-proxy`."""

from .cli import main

if __name__ == "__main__":
    main()
