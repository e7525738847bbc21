"""`python -m analysis.tables RUN ...`: the tables of runs, printed or written to a folder."""

import sys

from analysis.tables.command import main

if __name__ == "__main__":
    sys.exit(main())
