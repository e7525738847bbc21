import dataclasses
import shlex
from pathlib import Path
from typing import Any

import pytest

from search.plan.earlier import cache_words, find_run, is_complete, named_run, resumed_settings, storage_of
from search.plan.settings import SettingsError
from search.plan.words import load_settings
from search.record import FINISHED, STOPPED, RecordError, RunFolder, RunRecord, to_json
from tests.conftest import make_epoch

WORDS = ["space=cnn2", "search.num_trials=2", "search.seed=3", "evaluate.enabled=false"]


def make_run(url: str, statuses: tuple[str, ...], words: list[str] = WORDS, created: float = 0.0) -> RunFolder:
    folder = RunFolder(url)
    command = shlex.join(["python", "-m", "search.run", *words])
    config = load_settings(words).to_dict()
    folder.write_run(RunRecord(folder.name, created, command, "val_loss", ("a", "b"), config, {}, {}))
    events = []
    for number, status in enumerate(statuses):
        about = {"time": 1.0, "trial": number}
        events.append({"event": "suggested", **about, "parameters": {}, "seed": 0, "max_epochs": 1})
        events.append({"event": "ended", **about, "status": status})
    folder.write("".join(to_json(event) + "\n" for event in events).encode(), "log", "1.jsonl")
    return folder


def test_a_storage_with_a_space_in_its_name_is_found_again(tmp_path: Path) -> None:
    make_run(f"{tmp_path}/my runs/one", (FINISHED, STOPPED))
    for word in (f"run.storage={tmp_path}/my runs", f"run.storage='{tmp_path}/my runs'"):
        assert storage_of([word]) == f"{tmp_path}/my runs"
        assert named_run("one", [word]).name == "one"
    assert storage_of([]) == "runs"


def test_a_run_is_named_by_its_folder_too(tmp_path: Path) -> None:
    folder = make_run(f"{tmp_path}/one", (FINISHED,))
    assert named_run(folder.url, []).url == folder.url
    with pytest.raises(RecordError, match="two"):
        named_run(f"{tmp_path}/two", [])


def test_auto_is_the_newest_that_is_not_complete(tmp_path: Path) -> None:
    storage = [f"run.storage={tmp_path}"]
    assert find_run("auto", storage) is None
    make_run(f"{tmp_path}/done", (FINISHED, STOPPED), created=9.0)
    make_run(f"{tmp_path}/old", (FINISHED,), created=1.0)
    make_run(f"{tmp_path}/new", (FINISHED,), created=2.0)
    make_run(f"{tmp_path}/other", (FINISHED,), ["space=cnn3", *WORDS[1:]], created=3.0)
    assert find_run("auto", storage).name == "other"
    assert find_run("auto", [*storage, "space=cnn2"]).name == "new"
    assert find_run("old", storage).name == "old"


def test_auto_skips_and_names_runs_that_it_cannot_read(tmp_path: Path) -> None:
    make_run(f"{tmp_path}/good", (FINISHED,), created=1.0)
    for number, damage in enumerate((_cut_record, _ask_for_what_is_gone, _lose_a_seed), 2):
        damage(make_run(f"{tmp_path}/damaged {number}", (FINISHED,), created=float(number)))
    said: list[str] = []
    assert find_run("auto", [f"run.storage={tmp_path}"], said.append).name == "good"
    assert [line.partition(" is skipped: ")[0] for line in said] == [f"Run damaged {number}" for number in (2, 3, 4)]
    assert all(f"{tmp_path}/damaged" in line for line in said)


def _cut_record(folder: RunFolder) -> None:
    folder.write(folder.read("run.json")[:-40], "run.json")


def _ask_for_what_is_gone(folder: RunFolder) -> None:
    run = folder.read_run()
    config = {**run.config, "search": {**run.config["search"], "searcher": "of another version"}}
    folder.write_run(dataclasses.replace(run, config=config))


def _lose_a_seed(folder: RunFolder) -> None:
    event = {"event": "suggested", "time": 1.0, "trial": 9, "parameters": {}, "max_epochs": 1}
    folder.write((to_json(event) + "\n").encode(), "log", "2.jsonl")


def test_a_run_is_complete_when_all_have_ended_and_what_was_asked_for_is_evaluated(tmp_path: Path) -> None:
    assert is_complete(make_run(f"{tmp_path}/a", (FINISHED, STOPPED)))
    assert not is_complete(make_run(f"{tmp_path}/b", (FINISHED, "running")))
    assert not is_complete(make_run(f"{tmp_path}/c", (FINISHED, STOPPED), WORDS[:3]))  # not evaluated
    assert is_complete(make_run(f"{tmp_path}/d", (STOPPED, STOPPED), WORDS[:3]))  # nothing to evaluate


def test_a_run_with_something_to_confirm_is_not_complete(tmp_path: Path) -> None:
    words = [*WORDS, "search.confirm=1", "search.metric=val_loss"]
    folder = make_run(f"{tmp_path}/a", (FINISHED, STOPPED), words)
    assert is_complete(folder)  # it has no score
    about = {"time": 1.0, "trial": 0}
    scored = {"event": "epoch", **about, "metrics": dataclasses.asdict(make_epoch(1, 0.5))}
    folder.write((to_json(scored) + "\n").encode(), "log", "2.jsonl")
    assert not is_complete(folder)
    again = {"event": "suggested", "time": 1.0, "trial": 2, "parameters": {}, "seed": 0, "max_epochs": 1, "confirms": 0}
    ended = {"event": "ended", "time": 1.0, "trial": 2, "status": "diverged"}
    finished = {"event": "ended", **about, "status": FINISHED}
    folder.write("".join(to_json(e) + "\n" for e in (finished, again, ended)).encode(), "log", "3.jsonl")
    assert is_complete(folder)


def test_the_command_that_began_a_run_may_be_repeated(tmp_path: Path) -> None:
    folder = make_run(f"{tmp_path}/one", (FINISHED,), [*WORDS, "train.precision=auto"])
    run = folder.read_run()
    config = {**run.config, "train": {**run.config["train"], "precision": "float32"}}
    folder.write_run(dataclasses.replace(run, config=config))
    assert resumed_settings(folder, [*WORDS, "train.precision=auto", "resume=one"]).train.precision == "float32"
    with pytest.raises(SettingsError, match=r"search\.seed=4; the run has search\.seed=3"):
        resumed_settings(folder, ["search.seed=4"])


@pytest.mark.parametrize("changed", [{"config": {}}, {"config": {"space": 3}}, {"command": "python 'x"}])
def test_a_run_with_damaged_settings_is_one_message(tmp_path: Path, changed: dict[str, Any]) -> None:
    folder = make_run(f"{tmp_path}/one", (FINISHED,))
    folder.write_run(dataclasses.replace(folder.read_run(), **changed))
    with pytest.raises(RecordError, match=r"one/run\.json, in which they are damaged"):
        resumed_settings(folder)


def test_a_log_without_what_a_trial_needs_is_one_message(tmp_path: Path) -> None:
    folder = make_run(f"{tmp_path}/one", (FINISHED,))
    _lose_a_seed(folder)
    with pytest.raises(RecordError, match=r"one/log, where one has not \(KeyError\('seed'\)\)"):
        folder.read_trials()


def test_a_resumed_run_chooses_no_cache_of_this_user(tmp_path: Path) -> None:
    """It may be a stranger's: a cache of 0 GB would remove all features of the folder that it names."""
    folder = make_run(f"{tmp_path}/one", (FINISHED,), [*WORDS, "data.cache=/home/me", "data.cache_gb=0"])
    own = load_settings([]).data
    data = resumed_settings(folder).data
    assert (data.cache, data.cache_gb) == (own.cache, own.cache_gb)
    asked = resumed_settings(folder, ["data.cache=/big/disk", "data.cache_gb=7"])
    assert (asked.data.cache, asked.data.cache_gb) == ("/big/disk", 7)
    assert cache_words(asked) == ["data.cache=/big/disk", "data.cache_gb=7.0"]
    assert cache_words(resumed_settings(folder)) == []


def test_a_run_of_before_there_were_shards_keeps_its_order(tmp_path: Path) -> None:
    folder = make_run(f"{tmp_path}/one", (FINISHED,), WORDS)
    run = folder.read_run()
    config = {**run.config, "train": {name: value for name, value in run.config["train"].items() if name != "shuffle"}}
    folder.write_run(dataclasses.replace(run, config=config))
    assert resumed_settings(folder).train.shuffle == "all"
