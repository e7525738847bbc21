import json

import pandas as pd

from analysis.page.blocks import script_json, shown_columns


def test_script_json_cannot_end_its_element():
    assert "<" not in script_json({"a": "</script><!--"})
    assert json.loads(script_json({"a": "</script>"})) == {"a": "</script>"}


def test_a_number_and_its_interval_share_a_column():
    frame = pd.DataFrame({"auc": [0.9, None], "auc_low": [0.8, None], "auc_high": [0.95, None], "empty": [None, None]})
    assert shown_columns(frame).to_dict("list") == {"auc": ["0.900 [0.800, 0.950]", None]}
