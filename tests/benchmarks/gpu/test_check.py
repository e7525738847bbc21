"""The file that a user sends."""

import json
import socket
from dataclasses import replace
from pathlib import Path

from benchmarks.gpu.check import FAILED, NOT_RUN, PASSED, Check, Facts, Report, hide_names, to_json
from benchmarks.gpu.page import page_html
from benchmarks.measurement import Quantity

FACTS = Facts(
    gpu="A10G",
    gpu_memory_mb=23_028.0,
    capability="8.6",
    driver="570.1",
    cuda="12.5",
    cudnn="9",
    processor="a processor",
    cpus=8,
    memory_gib=32.0,
    platform="Linux",
    python="3.11.7",
    packages={"keras": "3.15.1"},
    commit="abc",
)
CHECKS = (
    Check(
        "growth", "Memory growth is on", "README.md", PASSED, "It is <on>.", (Quantity("held", "MiB", (812.0,)),), 9.0
    ),
    Check("speed", "2 s", "docs/scale.md", FAILED, f"{Path.home()}/runs on {socket.gethostname()}: 3 s.", (), 20.0),
    Check("precision", "It follows", "README.md", NOT_RUN, "the GPU has no units for it.", (), 0.0),
)
REPORT = Report(False, FACTS, CHECKS, 1_790_000_000.0, 300.0)


def test_a_report_counts_its_outcomes() -> None:
    assert REPORT.summary == "1 passed, 1 failed, 1 not run"
    assert [check.name for check in REPORT.failed] == ["speed"]
    assert replace(REPORT, checks=CHECKS[:1]).failed == ()


def test_home_user_and_host_are_hidden_as_whole_words() -> None:
    hidden = hide_names("/home/ann/x on mars of ann, annual marsh", "/home/ann", "ann", "mars")
    assert hidden == "~/x on HOST of USER, annual marsh"
    assert hide_names("as it was", "/", "", "") == "as it was"


def test_what_is_sent_names_neither_host_nor_home() -> None:
    for text in (to_json(REPORT), page_html(REPORT)):
        assert "~/runs on HOST: 3 s." in text
        assert str(Path.home()) not in text
    stored = json.loads(to_json(REPORT))
    assert [check["outcome"] for check in stored["checks"]] == [PASSED, FAILED, NOT_RUN]
    assert stored["facts"]["gpu"] == "A10G"


def test_a_page_shows_each_check_beside_its_claim() -> None:
    page = page_html(REPORT)
    assert "It is &lt;on&gt;." in page
    assert "held: 812 MiB" in page
    assert "Memory growth is on" in page
    assert "A10G, 23,028 MiB, compute capability 8.6" in page
    assert "pretended" not in page


def test_a_page_of_a_pretended_gpu_says_so() -> None:
    page = page_html(replace(REPORT, pretended=True, facts=replace(FACTS, gpu="")))
    assert "No GPU here: one was pretended." in page
    assert "Nothing on this page was seen on a GPU." in page
