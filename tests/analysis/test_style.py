from analysis import figures, style
from tests.analysis.made_up import epochs


def test_a_theme_changes_the_ink_and_leaves_the_data():
    drawn = figures.draw_best_so_far({"a": figures.best_so_far(epochs(0.5), "val_loss")}, "val_loss")
    assert style.restyled(drawn, style.DARK).layout.template.layout.font.color == style.DARK.ink
