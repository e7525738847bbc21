import pytest

from search.record import RecordError, RunFolder, inside


@pytest.mark.parametrize("name", ["run.json", "log/1.jsonl", "winner/gallery/00-cam.png", "a..b", "...", "~"])
def test_names_below_a_folder_are_taken_as_they_are(name: str) -> None:
    assert inside(name) == inside(*name.split("/")) == name


@pytest.mark.parametrize(
    "parts",
    [
        ("..",),
        ("log", "../../x"),
        ("/etc/passwd",),
        ("log", "/etc/passwd"),
        ("a", "", "b"),
        (".",),
        ("",),
        ("a\x00",),
        ("..\\x",),
        ("log/..\\..\\x",),
        ("a/",),
    ],
)
def test_names_that_lead_out_of_it_are_refused(parts: tuple[str, ...]) -> None:
    with pytest.raises(RecordError, match=r"leads out of it\. Remove it"):
        inside(*parts)


@pytest.mark.parametrize("url", ["{0}/run", "memory://bucket/{1}/run"])
def test_nothing_beside_a_runs_folder_is_read_written_or_removed(url: str, tmp_path) -> None:
    """Whatever a record of a stranger's run names."""
    beside = RunFolder(url.format(tmp_path, tmp_path.name).removesuffix("/run"))
    beside.write(b"private", "x")
    run = RunFolder(url.format(tmp_path, tmp_path.name))
    run.write(b"", "log", "1.jsonl")
    for act in (run.read, run.exists, run.remove, run.names, run.files, lambda *parts: run.write(b"", *parts)):
        for parts in (("..", "x"), ("log", "../../x")):
            with pytest.raises(RecordError, match="leads out of it"):
                act(*parts)
    assert beside.read("x") == b"private"
    assert run.files() == ["log/1.jsonl"]
