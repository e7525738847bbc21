"""Says whose fault it was that a process stopped training a trial: only a trial's own faults count against it."""

import re
from dataclasses import dataclass

from search.record import OWN_FAULT

LOST_HOST = "lost host"  # the trial's host was lost or taken away
BAD_HOST = "bad host"  # the trial's host does not work: no mount, no credentials, a full disk, no project
SERVICE = "service"  # what the trials share was lost: the feature store, or an object of it
_NODE_DIED = "its node has died"  # in Ray's words


@dataclass(frozen=True)
class Fault:
    """Why a process stopped training a trial.

    Attributes:
        cause: `OWN_FAULT`, `LOST_HOST`, `BAD_HOST` or `SERVICE`.
        reason: in words.
        address: of the host whose fault it was, where its process did not start; else empty.
    """

    cause: str
    reason: str
    address: str = ""

    @property
    def is_own(self) -> bool:
        """Whether it counts against the trial: its process died, ran out of memory, or raised an error."""
        return self.cause == OWN_FAULT


def fault_of(error: BaseException | None) -> Fault:
    """The fault behind an error that Ray raised for a trial's process; its own where nothing is known."""
    from ray.exceptions import ActorUnavailableError, ObjectLostError, RayActorError, RayTaskError

    if error is None:
        return Fault(OWN_FAULT, "its process was lost")
    if isinstance(error, RayTaskError):  # its process lives; what it waited for may not
        is_service = isinstance(error.as_instanceof_cause(), RayActorError | ObjectLostError)
        return Fault(SERVICE if is_service else OWN_FAULT, _last_line(error))
    if isinstance(error, ActorUnavailableError):  # Ray has not found out yet what became of its host
        return Fault(LOST_HOST, "the connection to its process was lost")
    if isinstance(error, RayActorError) and error.actor_init_failed:  # before it could look at the trial
        address = re.search(r"\bip=([^\s,)]+)", str(error))
        return Fault(BAD_HOST, f"its process did not start: {_last_line(error)}", address[1] if address else "")
    if isinstance(error, RayActorError) and (error.preempted or _NODE_DIED in str(error)):
        return Fault(LOST_HOST, "its host was lost")
    return Fault(OWN_FAULT, _last_line(error))


def _last_line(error: BaseException) -> str:
    """The last line of an error, without its traceback."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__
