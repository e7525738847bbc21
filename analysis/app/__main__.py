"""The command line of the app."""

import argparse
import logging
import socket
import sys
from collections.abc import Sequence

from analysis.app.server import create_app
from analysis.command import CommandError, exit_code


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve the pages until interrupted; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m analysis.app", description="Pages over runs, live while they run.")
    parser.add_argument("folder", metavar="RUN_FOLDER", help="a run's folder, or a folder of runs; a path or a URL")
    parser.add_argument("--host", default="127.0.0.1", help="who may connect; 0.0.0.0 for everyone (no password)")
    parser.add_argument("--port", type=int, default=8050)
    parser.add_argument("--cache", default="", help="folder of prepared images (data.cache), if it is not the default")
    given = parser.parse_args(arguments)

    def serve() -> None:
        _check_port(given.host, given.port)
        app = create_app(given.folder, given.cache)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # otherwise every request is a line on the screen
        print(f"Open http://{given.host}:{given.port}/ (Ctrl-C stops)", flush=True)
        app.run(host=given.host, port=given.port, debug=False)

    return exit_code(serve)


def _check_port(host: str, port: int) -> None:
    """Raise CommandError unless this process may listen there: another account's app may be on the same port."""
    try:
        with socket.create_server((host, port)):
            pass
    except (OSError, OverflowError) as error:
        raise CommandError(
            f"The app listens on a port of its own. Received: {host}:{port} ({error}). Choose another with --port."
        ) from error


if __name__ == "__main__":
    sys.exit(main())
