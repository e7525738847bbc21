from analysis import report


def test_the_command_line_names_what_is_wrong(tmp_path, capsys):
    """What it writes is read in page/test_render.py."""
    assert report.main([str(tmp_path)]) == 2
    assert "run.json" in capsys.readouterr().err
