import pytest

from search.record import RecordError, error_words


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RecordError("The rule. Received: x."), "The rule. Received: x."),
        (OSError("The rule. Received: x."), "The rule. Received: x."),
        (
            FileNotFoundError(2, "No such file or directory", "a/b"),
            "A file or a connection must be within reach. Received: a/b: No such file or directory. Check the path.",
        ),
        (
            OSError(5, "Input/output error"),
            "A file or a connection must be within reach. Received: Input/output error. Check the disk and the "
            "network, then repeat the command.",
        ),
    ],
)
def test_what_the_system_says_gets_a_rule_and_a_next_step(error: Exception, words: str) -> None:
    assert error_words(error) == words
