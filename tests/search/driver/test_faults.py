"""Whose fault it was, and what counts against a trial; without Ray's processes."""

import pickle
from collections.abc import Callable
from dataclasses import asdict, replace

import pytest
from ray.core.generated.common_pb2 import ActorDiedErrorContext, NodeDeathInfo
from ray.exceptions import ActorDiedError, ActorUnavailableError, OutOfMemoryError, OwnerDiedError, RayTaskError

from search import record
from search.driver.faults import BAD_HOST, LOST_HOST, SERVICE, Fault, fault_of
from search.driver.state import SearchState
from search.record import OWN_FAULT
from search.trial.checkpoint import Checkpoint, configuration_hash, write_checkpoint
from tests.conftest import make_epoch

NODE = "The actor died because its node has died. Node Id: 7, the node was unexpectedly lost"
KILLED = "The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR"
DRAINED = NodeDeathInfo(reason=NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED)


def died(message: str, **more: object) -> ActorDiedError:
    error = ActorDiedError(ActorDiedErrorContext(actor_id=bytes(16), error_message=message, **more))
    error.args = ()  # as Ray hands it out
    return error


def raised(cause: Exception) -> RayTaskError:
    return RayTaskError("step", f"Traceback ...\n{type(cause).__name__}: {cause}\n", cause)


@pytest.mark.parametrize(
    ("error", "cause", "reason"),
    [
        (None, OWN_FAULT, "its process was lost"),
        (died(KILLED), OWN_FAULT, KILLED),
        (OutOfMemoryError("too much memory"), OWN_FAULT, "too much memory"),
        (raised(ZeroDivisionError("by zero")), OWN_FAULT, "ZeroDivisionError: by zero"),
        (died(NODE), LOST_HOST, "its host was lost"),
        (died("drained", node_death_info=DRAINED), LOST_HOST, "its host was lost"),
        (ActorUnavailableError("no answer", None), LOST_HOST, "the connection to its process was lost"),
        (raised(died(KILLED)), SERVICE, KILLED),
        (raised(ActorUnavailableError("it restarts", None)), SERVICE, ""),
        (raised(OwnerDiedError("00" * 28, None, "")), SERVICE, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_only_what_a_trial_did_itself_is_its_fault(error: BaseException | None, cause: str, reason: str) -> None:
    fault = fault_of(error)
    assert (fault.cause, fault.is_own) == (cause, cause == OWN_FAULT)
    assert reason in fault.reason
    assert "\n" not in fault.reason


def test_a_process_that_did_not_start_names_its_host() -> None:
    text = (
        "ray::ImageTrial.__init__() (pid=7, ip=10.0.0.3, actor_id=55)\nModuleNotFoundError: No module named 'search'\n"
    )
    error = ActorDiedError(RayTaskError("__init__", text, ModuleNotFoundError("No module named 'search'")))
    fault = fault_of(pickle.loads(pickle.dumps(error)))  # as Tune keeps it
    reason = "its process did not start: ModuleNotFoundError: No module named 'search'"
    assert fault == Fault(BAD_HOST, reason, "10.0.0.3")
    assert not fault.is_own


# One trial that may fail twice.
ONE_TRIAL = (1, "search.max_epochs=4", "search.scheduler=none", "search.max_failures=2")


def test_faults_of_others_never_count_and_the_trial_is_handed_out_again(open_state: Callable[..., SearchState]) -> None:
    state = open_state(*ONE_TRIAL)
    assert state.next_trial() is not None
    for cause in [LOST_HOST, SERVICE] * 5:
        state.fail(0, Fault(cause, "lost"))
        assert state.next_trial() is state.trials[0]
        assert state.next_trial() is None
    trial = state.trials[0]
    assert (trial.status, trial.retries, trial.failures) == (record.WAITING, 10, 0)
    assert state.folder.read_trials() == state.trials


def test_a_trials_own_failures_count_over_stretches_and_sessions(open_state: Callable[..., SearchState]) -> None:
    own = Fault(OWN_FAULT, "killed")
    state = open_state(*ONE_TRIAL)
    state.next_trial()
    state.fail(0, own)
    state.next_trial()
    state.add_epoch(0, asdict(make_epoch(1, 0.5)))
    state.wait(0)
    state.close()
    state = open_state(*ONE_TRIAL)
    state.restore()
    state.next_trial()
    state.fail(0, own)
    assert (state.trials[0].status, state.trials[0].failures) == (record.WAITING, 2)
    state.next_trial()
    state.fail(0, own)
    assert (state.trials[0].status, state.trials[0].reason, state.trials[0].retries) == (record.FAILED, "killed", 2)
    assert state.is_over
    assert state.folder.read_trials() == state.trials


def test_epochs_of_another_configuration_are_not_adopted(open_state: Callable[..., SearchState]) -> None:
    state = open_state(*ONE_TRIAL)
    trial = state.next_trial()
    assert trial is not None
    state.add_epoch(0, asdict(make_epoch(1, 0.5)))
    state.close()

    def save(epochs: int, configuration: str) -> None:
        history = [make_epoch(number + 1, 0.1 * number) for number in range(epochs)]
        write_checkpoint(state.folder, trial.name, Checkpoint([], [], history, configuration), is_best=False)

    save(2, configuration_hash(trial))
    save(3, configuration_hash(replace(trial, seed=trial.seed + 1)))
    state = open_state(*ONE_TRIAL)
    state.restore()
    assert [epoch.val_loss for epoch in state.trials[0].epochs] == [0.5, 0.1]
    assert len(state.news) == 1
    assert state.news[0].startswith("trials/0000/epoch-0003.npz is of another configuration")
