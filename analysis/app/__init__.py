"""Live pages over runs: `python -m analysis.app RUN_FOLDER`, or `create_app(RUN_FOLDER)` for another server."""

from analysis.app.server import create_app

__all__ = ["create_app"]
