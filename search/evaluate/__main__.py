"""`python -m search.evaluate RUN`."""

import sys

from search.evaluate.score import main

sys.exit(main())
