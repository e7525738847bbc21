"""The claims of the report: each a sentence, its place in the report, and how it is tested."""

from dataclasses import dataclass

# The relation that a claim states, of the first row to the second.
BETTER = "better"
NO_BETTER = "no better"  # by more than the margin
NO_WORSE = "no worse"  # by more than the margin

# What a trial's epochs say of it.
GAP = "loss_gap"  # of the last epoch: validation loss - training loss
SWING = "val_loss_swing"  # from epoch to epoch: mean |ln(validation loss / the one before)|
FALLING = ("test_loss", GAP, SWING)  # lower is better


@dataclass(frozen=True)
class SearchGroups:
    """Two groups of a search's trials, as pandas queries over the columns of `Run.trials`.

    Attributes:
        hyperparameter: the column that must be there.
        first, second: which trials are in each group.
    """

    hyperparameter: str
    first: str
    second: str


@dataclass(frozen=True)
class Claim:
    """One claim of the report and how it is tested.

    Attributes:
        id: its name in tables.
        sentence: what the report says.
        place: where it says it.
        classes: 2 or 3.
        pairs: published rows; the claim says `relation` of each first against its second.
        relation: `BETTER`, `NO_BETTER` or `NO_WORSE`.
        metric: `test_accuracy`, or a name in `FALLING` (where lower is better).
        every: whether each pair must show it, so that the weakest counts; otherwise their mean counts.
        search: trials of a search that bear on it where no row was replayed.
        caution: other differences between the rows.
    """

    id: str
    sentence: str
    place: str
    classes: int
    pairs: tuple[tuple[str, str], ...] = ()
    relation: str = BETTER
    metric: str = "test_accuracy"
    every: bool = False
    search: SearchGroups | None = None
    caution: str = ""


CLAIMS = (
    Claim(
        "learning_rate_too_high",
        "With 2 classes, a learning rate of 0.1 fails: the test loss is very high.",
        "section 3.1, table 1 rows 1 and 2; section 4",
        2,
        (("table1/2", "table1/1"),),
        metric="test_loss",
        search=SearchGroups("learning_rate", "1e-5 <= learning_rate <= 1e-3", "learning_rate >= 0.03"),
    ),
    Claim(
        "learning_rate_too_low",
        "With 2 classes, a learning rate of 1e-6 is too small.",
        "section 3.1, table 1 rows 2 and 3; section 4",
        2,
        (("table1/2", "table1/3"),),
        search=SearchGroups("learning_rate", "1e-5 <= learning_rate <= 1e-3", "learning_rate <= 2e-6"),
    ),
    Claim(
        "learning_rate_near_1e-4_is_best",
        "With 2 classes, a learning rate near 1e-4 is the best.",
        "section 3.1",
        2,
        tuple(("prose/2", other) for other in ("table1/1", "prose/1", "table1/2", "table1/3")),
        every=True,
    ),
    Claim(
        "learning_rate_lower_hurts_3",
        "With 3 classes, a learning rate of 1e-5 instead of 1e-3 does worse.",
        "section 3.2, table 2 models 2 and 3",
        3,
        (("table2/2", "table2/3"),),
        search=SearchGroups("learning_rate", "5e-4 <= learning_rate <= 2e-3", "learning_rate <= 2e-5"),
    ),
    Claim(
        "larger_batch_helps",
        "A larger batch (32 instead of 16) helps.",
        "section 3.1, table 1 rows 2 and 4",
        2,
        (("table1/2", "table1/4"),),
        search=SearchGroups("batch_size", "batch_size >= 32", "batch_size <= 16"),
    ),
    Claim(
        "augmentation_hurts_2",
        "With 2 classes, augmentation hurts.",
        "section 3.1, table 1 rows 6 and 7; section 4",
        2,
        (("table1/6", "table1/7"),),
        search=SearchGroups("augment", "augment == 'none'", "augment != 'none'"),
    ),
    Claim(
        "augmentation_hurts_simple_2",
        "With 2 classes, augmentation hurts the simplest model.",
        "section 3.1",
        2,
        (("prose/3", "prose/4"),),
    ),
    Claim(
        "augmentation_helps_3",
        "With 3 classes, augmentation helps.",
        "section 3.2, table 2 models 2 against 1 and 8 against 5; section 4",
        3,
        (("table2/2", "table2/1"), ("table2/8", "table2/5")),
        search=SearchGroups("augment", "augment != 'none'", "augment == 'none'"),
    ),
    Claim(
        "augmentation_lowers_loss_3",
        "With 3 classes, augmentation (model 2) lowers the loss.",
        "section 3.2, table 2 models 1 and 2",
        3,
        (("table2/2", "table2/1"),),
        metric="test_loss",
    ),
    Claim(
        "augmentation_without_accuracy_3",
        "With 3 classes, the accuracy of model 2 stays behind: augmentation does not raise it.",
        "section 3.2, table 2 models 1 and 2",
        3,
        (("table2/2", "table2/1"),),
        NO_BETTER,
    ),
    Claim(
        "batch_norm_hurts_without_augmentation",
        "With 3 classes, batch norm after flatten hurts without augmentation.",
        "section 3.2, table 2 models 1 and 4",
        3,
        (("table2/1", "table2/4"),),
        search=SearchGroups(
            "batch_norm",
            "augment == 'none' and batch_norm == 'none'",
            "augment == 'none' and batch_norm == 'flatten'",
        ),
    ),
    Claim(
        "batch_norm_overfits",
        "With 3 classes, batch norm after flatten (model 4) overfits: validation's loss ends far above training's.",
        "section 3.2 and figure D, table 2 models 1 and 4",
        3,
        (("table2/1", "table2/4"),),
        metric=GAP,
    ),
    Claim(
        "batch_norm_helps_with_augmentation",
        "With 3 classes, batch norm after flatten helps with augmentation.",
        "section 3.2, table 2 models 6 and 8",
        3,
        (("table2/6", "table2/8"),),
        search=SearchGroups(
            "batch_norm",
            "augment != 'none' and batch_norm == 'flatten'",
            "augment != 'none' and batch_norm == 'none'",
        ),
        caution="model 6 trained 20 epochs, model 8 trained 10",
    ),
    Claim(
        "batch_norm_with_augmentation_is_best",
        "With 3 classes, batch norm with augmentation (model 6) is the best of all.",
        "section 3.2, table 2",
        3,
        tuple(("table2/6", f"table2/{other}") for other in (1, 2, 3, 4, 5, 7, 8)),
        every=True,
        caution="model 6 trained 20 epochs, the others 10",
    ),
    Claim(
        "model_6_varies",
        "With 3 classes, the loss of model 6 varies too much; that of model 8, without batch norm, is acceptable.",
        "section 3.2 and figures F and H, table 2 models 6 and 8",
        3,
        (("table2/8", "table2/6"),),
        metric=SWING,
    ),
    Claim(
        "second_convolution_helps",
        "With 2 classes, a second convolution helps.",
        "section 3.1, table 1 rows 5 and 6",
        2,
        (("table1/6", "table1/5"),),
        metric="test_loss",
        search=SearchGroups("layers", "layers == 2", "layers == 1"),
        caution="the rows differ in dense layers and batch norm too",
    ),
    Claim(
        "third_convolution_does_not_help",
        "With 2 classes, a third convolution does not help.",
        "section 3.1, table 1 rows 6 and 8",
        2,
        (("table1/8", "table1/6"),),
        NO_BETTER,
        search=SearchGroups("layers", "layers == 3", "layers == 2"),
    ),
    Claim(
        "second_convolution_does_not_help_3",
        "With 3 classes, a second convolution does not help.",
        "section 3.2, table 2 models 1 and 5",
        3,
        (("table2/5", "table2/1"),),
        NO_BETTER,
        search=SearchGroups("layers", "layers == 2", "layers == 1"),
    ),
    Claim(
        "fewer_filters_do_not_help",
        "With 3 classes, 8 instead of 16 filters in the second convolution do not help.",
        "section 3.2, table 2 models 5 and 7",
        3,
        (("table2/7", "table2/5"),),
        NO_BETTER,
    ),
    Claim(
        "few_layers_suffice",
        "With 2 classes, few layers suffice: the best models have one or two convolutions.",
        "section 3.1",
        2,
        (("table1/5", "table1/8"), ("table1/6", "table1/8")),
        NO_WORSE,
        search=SearchGroups("layers", "layers <= 2", "layers >= 3"),
    ),
    Claim(
        "hidden_dense_layer_helps",
        "With 2 classes, hidden dense layers help.",
        "section 3.1, table 1 rows 2 and 5",
        2,
        (("table1/5", "table1/2"),),
        search=SearchGroups("dense", "dense != 'none'", "dense == 'none'"),
        caution="the rows differ in learning rate (2.8e-5, 1e-5) and batch norm too",
    ),
    Claim(
        "dropout_helps",
        "With 2 classes, dropout before the classifier helps.",
        "section 3.1",
        2,
        (("prose/5", "prose/3"),),
        search=SearchGroups("dropout", "dropout >= 0.1", "dropout < 0.1"),
    ),
    Claim(
        "batch_norm_before_classifier_helps",
        "With 2 classes, batch norm before the classifier helps.",
        "section 3.1",
        2,
        (("prose/6", "prose/3"),),
        search=SearchGroups(
            "batch_norm",
            "batch_norm in ('flatten', 'conv+flatten', 'block+flatten')",
            "batch_norm in ('none', 'conv', 'block')",
        ),
    ),
    Claim(
        "dropout_and_batch_norm_help",
        "With 2 classes, dropout and batch norm together help: a loss near 0.38, an accuracy near 0.84.",
        "section 3.1",
        2,
        (("prose/7", "prose/3"),),
    ),
    Claim(
        "deeper_resnets_do_better",
        "Deeper ResNets do better: 101 layers than 50, 152 than 101.",
        "section 3.4, table 4",
        2,
        (("table4/2", "table4/1"), ("table4/3", "table4/2")),
        every=True,
        caution="ResNet152 is version 2, the others version 1",
    ),
    Claim(
        "simple_model_matches_complex",
        "With 2 classes, a simple model matches VGG16 with fewer parameters.",
        "section 4, tables 1 and 3",
        2,
        (("table1/6", "table3/1"),),
        NO_WORSE,
        search=SearchGroups("backbone", "backbone == 'cnn'", "backbone != 'cnn'"),
    ),
    Claim(
        "simple_model_matches_resnet",
        "With 2 classes, a simple model matches ResNet152 with fewer parameters.",
        "section 4, tables 1 and 4",
        2,
        (("table1/6", "table4/3"),),
        NO_WORSE,
    ),
)
