import json

import numpy as np
import pandas as pd
import pytest

from analysis import figures
from search.record import RunFolder


def test_the_most_confident_mistakes_are_first():
    scores = np.array([0.6, 0.95, 0.8, 0.1])
    table = pd.DataFrame({"label": [0, 0, 1, 1], "p_no": 1 - scores, "p_yes": scores, "image_id": ["a", "b", "c", "d"]})
    assert [mistake.image_id for mistake in figures.mistakes(table, ("no", "yes"))] == ["b", "d", "a"]


ENTRY = {"image_id": "<script>", "label": "no", "predicted": "yes", "probabilities": {"no": 0.2, "yes": 0.8}}


def test_the_gallery_never_leaves_its_folder(tmp_path):
    folder = RunFolder(str(tmp_path / "run"))
    (tmp_path / "secret.png").write_bytes(b"secret")
    entry = {**ENTRY, "file": "../../../secret.png", "cam": "cam.png"}
    folder.write(json.dumps([entry]).encode(), "winner", "gallery.json")
    folder.write(b"picture", "winner", "gallery", "cam.png")
    (mistake,) = figures.gallery(folder)
    assert mistake.picture == ""
    (tmp_path / "run/winner/gallery/link.png").symlink_to(tmp_path / "secret.png")  # a page is sent to others
    folder.write(json.dumps([{**entry, "file": "link.png"}]).encode(), "winner", "gallery.json")
    assert figures.gallery(folder) == []
    folder.write(json.dumps([entry]).encode(), "winner", "gallery.json")
    assert mistake.cam.startswith("data:image/png;base64,")
    assert mistake.probabilities == {"no": 0.2, "yes": 0.8}
    assert (mistake.truth, mistake.predicted) == ("no", "yes")


@pytest.mark.parametrize("content", ["[", "{}", "[7]", '[{"image_id": "a"}]'])
def test_a_damaged_gallery_shows_no_picture(tmp_path, content):
    folder = RunFolder(str(tmp_path / "run"))
    folder.write(content.encode(), "winner", "gallery.json")
    assert figures.gallery(folder) == []
