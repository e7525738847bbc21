import pytest

from search.driver.command import exit_code, open_run
from search.plan.settings import SettingsError
from search.record import RecordError


def test_a_users_mistake_is_one_line_and_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(error: BaseException) -> int:
        raise error

    assert exit_code(lambda: 0) == 0
    assert exit_code(lambda: fail(SettingsError("The rule. Received: x."))) == 2
    assert capsys.readouterr().err == "Error: The rule. Received: x.\n"
    assert exit_code(lambda: fail(KeyboardInterrupt())) == 130
    with pytest.raises(ZeroDivisionError):  # ours, not the user's
        exit_code(lambda: fail(ZeroDivisionError()))


@pytest.mark.parametrize("words", [[], ["data.root=/x"]])
def test_a_command_on_a_run_names_it_first(words: list[str]) -> None:
    with pytest.raises(SettingsError, match=r"python -m search\.evaluate runs/NAME"):
        open_run("search.evaluate", words)
    with pytest.raises(RecordError, match="nowhere"):
        open_run("search.evaluate", ["nowhere"])
