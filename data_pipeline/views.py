"""Names the views of radiographs in one way, as DICOM's tags or a table's column give them."""

import re

PA, AP, FRONTAL, LATERAL, UNKNOWN = "PA", "AP", "frontal", "lateral", ""
_WORDS = {
    PA: ("PA", "POSTEROANTERIOR"),
    AP: ("AP", "ANTEROPOSTERIOR"),
    FRONTAL: ("FRONTAL",),
    LATERAL: ("LL", "RL", "L", "R", "LAT", "LATERAL", "LLAT", "RLAT"),
}
_VIEWS = {word: view for view, words in _WORDS.items() for word in words}


def read_view(text: str) -> str:
    """PA, AP, FRONTAL, LATERAL, UNKNOWN for a blank text, or the text itself where it names another view."""
    words = re.findall(r"[A-Z]+", re.sub(r"(?<=O)-(?=[AP])", "", text.upper()))  # postero-anterior
    if not words:
        return UNKNOWN
    found = [_VIEWS[word] for word in words if word in _VIEWS]
    if LATERAL in found:
        return LATERAL
    return found[0] if found else text.strip()


def is_frontal(view: str) -> bool:
    """Whether a view of `read_view` is frontal; one that is not stated counts as frontal."""
    return view in (PA, AP, FRONTAL, UNKNOWN)
