"""`python -m analysis.claims RUN ...`: the report's claims, each with a verdict."""

import sys

from analysis.claims.command import main

if __name__ == "__main__":
    sys.exit(main())
