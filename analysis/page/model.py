"""A trial's model on a page: in words, layer by layer, and the images that it got wrong."""

from analysis import style
from analysis.export import cell_text
from analysis.figures.architecture import Layer, layers_of
from analysis.figures.gallery import Mistake, gallery, mistakes
from analysis.frames import parameters_of
from analysis.load import Run
from analysis.scored import NOT_SCORED, OF_FINDINGS, Scored
from models.cnn import CnnConfig
from models.registry import told_apart
from search.record import counted, trial_name

MISTAKES_CAPTION = (
    "The most confident ones first. Where there is a second picture, Grad-CAM is laid over the X-ray: warm is what "
    "spoke for the predicted class; of a mean of several trials, to its best member."
)


def heading(run: Run, trial: int) -> str:
    """A trial's heading: `trial 0007`, with the published row that it replays."""
    row = str(run.trials["row"][trial] or "")
    return f"trial {trial_name(trial)}" + (f" ({row})" if row else "")


def describe_model(run: Run, trial: int) -> str:
    """A trial's model in words: `a CNN of 2 blocks from 8 filters, kernel 4 x 4, dense 16, ...; 901,209 parameters`."""
    own = parameters_of(run, trial)
    backbone = str(own.get("backbone", "model"))
    if backbone == "cnn":
        layers = int(own.get("layers", CnnConfig.layers))
        filters, kernel = int(own.get("filters", CnnConfig.filters)), int(own.get("kernel", CnnConfig.kernel))
        blocks = counted(layers, "block")
        words = f"a CNN of {blocks} from {filters} filters, kernel {kernel} x {kernel}, "
    else:
        words = f"{backbone} with a head, "
    dense = str(own.get("dense", "none"))
    words += f"dense {dense}, " if dense not in ("none", "") else "no hidden dense layer, "
    shown = ("batch_norm", "augment", "learning_rate", "batch_size")
    parts = [f"{style.label(name)} {cell_text(own[name])}" for name in shown if name in own]
    row = str(run.trials["row"][trial] or "")
    published = f"; it replays the published row {row}" if row else ""
    return f"{words}{', '.join(parts)}; {int(run.trials['parameters'][trial]):,} parameters" + published


def model_layers(run: Run, trial: int) -> list[Layer]:
    """The layers of a trial's model."""
    data = run.record.config.get("data", {})
    size, channels = int(data.get("size", 224)), int(data.get("channels", 1))
    total = int(run.trials["parameters"][trial]) or None
    classes = told_apart(run.classes, run.record.is_multilabel)
    return layers_of(parameters_of(run, trial), (size, size, channels), classes, total)


def shown_mistakes(scored: Scored) -> list[Mistake] | str:
    """The images that a model got wrong, the most confident first; those of the exported model with pictures.

    Without any, the reason in words.
    """
    if scored.run.record.is_multilabel:
        return OF_FINDINGS
    dataset = next(iter(scored.evaluations), "")
    predictions = scored.predictions(dataset)
    if predictions.empty:
        return NOT_SCORED
    stored = gallery(scored.run.folder) if scored.is_chosen else []
    return stored or mistakes(predictions, scored.run.classes, most=8) or "No image was misclassified."
