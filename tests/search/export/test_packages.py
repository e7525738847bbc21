"""What an export needs."""

import pytest

from search.export.packages import check_packages
from search.plan.settings import SettingsError


def test_a_missing_package_is_named_with_the_command_that_installs_it() -> None:
    with pytest.raises(SettingsError, match=r"without no-such-package\. Install them: pip install .*\[export\]"):
        check_packages("ONNX", {"no_such_module": "no-such-package", "json": "json"})
