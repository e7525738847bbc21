from analysis.claims import CLAIMS
from analysis.claims.published import published_rows
from analysis.claims.verdicts import MEASURES
from models.registry import PUBLISHED

BY_ID = {claim.id: claim for claim in CLAIMS}


def test_claims_are_named_once_and_cite_rows_of_their_own_classes():
    assert len(BY_ID) == len(CLAIMS) >= 12
    rows = published_rows()
    for claim in CLAIMS:
        assert claim.pairs or claim.search, claim.id
        assert claim.metric in MEASURES, claim.id
        for pair in claim.pairs:
            assert set(pair) <= set(rows.index)
            assert all(PUBLISHED[row].classes == claim.classes for row in pair), claim.id
