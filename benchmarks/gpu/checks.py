"""The checks: what is claimed of GPUs, and how it is tried. `benchmarks.gpu.judge` says when it holds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from benchmarks.gpu.bench import LEARNING_RATES, Bench, images_per_second
from benchmarks.gpu.card import MemoryWatch, watch_memory
from benchmarks.gpu.check import FAILED, NOT_RUN, PASSED, Check
from benchmarks.gpu.judge import Finding, judge_resumed, judge_shared, judge_too_large, number, read_share
from benchmarks.measurement import Quantity
from benchmarks.searches import fixed_words, listed_words

LOSS_GAP = 0.1  # between the precisions after the last epoch, of losses that begin near 0.7
FULL_SET_IMAGES, FULL_SET_SECONDS = 4_186, 2.0  # that train, four fifths of the pool; an epoch of them (docs/scale.md)
SIDE_BY_SIDE = (2, 4)
TOO_WIDE = 10**12  # units of a dense layer: more weights than an address space has bytes
ALONE = ("resources.gpus_per_trial=1",)  # nothing is measured before the trials then
_TIME_IS_OVER = "the time was over; --minutes gives more."


@dataclass(frozen=True)
class Question:
    """A check that is still to be run.

    Attributes:
        name, claim, source: as in `Check`.
        find: tries it.
        needs_card: whether a pretended GPU shows nothing of it but that its steps run.
    """

    name: str
    claim: str
    source: str
    find: Callable[[Bench], Finding]
    needs_card: bool = True


def run_check(question: Question, bench: Bench) -> Check:
    """Try a claim, while there is time. A search that fails is a claim that does not hold, with or without a GPU.

    So is whatever else goes wrong: the machine is somebody else's, and its report says what happened there.
    """
    if bench.time_is_over:
        return not_run(question, _TIME_IS_OVER)
    started = time.monotonic()
    try:
        found = question.find(bench)
        outcome = outcome_of(found, question.needs_card and bench.card is None)
    except RuntimeError as error:
        if bench.time_is_over:
            return not_run(question, _TIME_IS_OVER)
        found, outcome = Finding(False, str(error)[-1000:]), FAILED
    except Exception as error:  # an answer that no check expects, such as a trial without an epoch
        found, outcome = Finding(False, f"{type(error).__name__}: {error}"[:1000]), FAILED
    where = "" if bench.card else "On the CPU: "
    seconds = time.monotonic() - started
    return Check(
        question.name, question.claim, question.source, outcome, where + found.result, found.quantities, seconds
    )


def outcome_of(found: Finding, lacks_card: bool) -> str:
    """The outcome of a finding; without the GPU that a check needs, nothing that was seen is one."""
    if lacks_card or found.holds is None:
        return NOT_RUN
    return PASSED if found.holds else FAILED


def not_run(question: Question, reason: str) -> Check:
    """A check that was not run."""
    return Check(question.name, question.claim, question.source, NOT_RUN, reason)


def find_visible(bench: Bench) -> Finding:
    """Whether TensorFlow sees the card."""
    sight = bench.sight
    built = f"built with CUDA {sight.cuda}, cuDNN {sight.cudnn}" if sight.cuda else "built for CPUs"
    return Finding(bool(sight.gpus), f"TensorFlow ({built}) sees {', '.join(sight.gpus) or 'no GPU'}.")


def find_growth(bench: Bench) -> Finding:
    """Whether a trial takes only the memory that it needs."""
    sight, card = bench.sight, bench.card
    measured = (Quantity("memory of a small CNN's tensors", "MiB", (sight.peak_mb,)),)
    if card is None or not sight.held_mb:
        return Finding(None, "the memory in use on a GPU could not be read.", measured)
    return Finding(
        bool(sight.gpus) and sight.growth and sight.held_mb < card.gpu.memory_mb / 2,
        f"Memory growth is {'on' if sight.growth else 'off'}; a small CNN's process held {sight.held_mb:,.0f} of the "
        f"{card.gpu.memory_mb:,.0f} MiB.",
        (*measured, Quantity("memory that its process held", "MiB", (sight.held_mb,))),
    )


def find_precision(bench: Bench) -> Finding:
    """Whether the precision that a search chooses is as fast as float32, and as good."""
    chosen, full = bench.cnn("cnn", words=ALONE), bench.cnn("cnn-float32", words=[*ALONE, "train.precision=float32"])
    precision, images = bench.config("cnn")["train"]["precision"], bench.training_images("cnn")
    if precision == "float32":
        return Finding(None, "the search chose float32, which is all that this GPU has units for.")
    (half_trial,), (full_trial,) = chosen.trials, full.trials
    speeds = images_per_second(half_trial, images), images_per_second(full_trial, images)
    losses = [number(trial.epochs[-1].train_loss) for trial in (half_trial, full_trial)]
    gap = abs(losses[0] - losses[1])
    return Finding(
        speeds[0] >= speeds[1] and gap <= LOSS_GAP,
        f"The search chose {precision}: {speeds[0] / speeds[1]:.2f} times the images a second of float32, and after "
        f"{len(full_trial.epochs)} epochs a training loss that differs by {gap:.3f} (at most {LOSS_GAP:g}).",
        (
            Quantity(precision, "images/s", (speeds[0],)),
            Quantity("float32", "images/s", (speeds[1],)),
            Quantity(f"training loss, {precision}", "", (losses[0],)),
            Quantity("training loss, float32", "", (losses[1],)),
        ),
    )


def find_shared(bench: Bench, wanted: int) -> Finding:
    """Whether so many trials train side by side on the card, each within the memory that the plan gives it."""
    if bench.card is None:
        search, watch = bench.cnn(f"share-{wanted}", wanted), MemoryWatch()
    else:
        with watch_memory() as watch:
            search = bench.cnn(f"share-{wanted}", wanted)
    share = read_share(search.said)
    if wanted * share.gpu > 1 + 1e-9:
        return Finding(None, f"the plan has room for {1 / share.gpu:.0f} trials on this card: {share.reason}.")
    return judge_shared(search.trials, share, watch.rise / wanted, bench.training_images(f"share-{wanted}"))


def find_too_large(bench: Bench) -> Finding:
    """What becomes of trials that are too large for the card, by their weights or by their feature maps."""
    words = [*bench.cnn_words(1), *listed_words({"dense": [[16], [TOO_WIDE]]}), "search.max_failures=0"]
    weights = bench.search("too-many-weights", words)
    trials = list(weights.trials)
    if bench.card is not None:  # a host would look for this memory on its disk
        maps = [*bench.cnn_words(1), *fixed_words({"layers": 1, "batch_size": 512, "pooling": "average"})]
        pixels = bench.sizes.side**2 * bench.training_images("too-many-weights")
        filters = int(bench.card.gpu.memory_mb * 2**20 / pixels)  # in 16 bits, its maps have twice the card's memory
        maps += [*listed_words({"filters": [bench.sizes.filters, filters]}), "search.max_failures=0"]
        trials += bench.search("too-large-maps", maps).trials
    return judge_too_large(trials)


def find_features(bench: Bench) -> Finding:
    """How fast a frozen backbone runs, and whether it runs once."""
    fixed = {"backbone": "vgg16", "batch_size": 32, "augment": "none", "class_weights": "none"}
    fixed |= {"frozen": "all", "pooling": "average", "dense": [16], "dropout": 0.2}
    words = ["space=vgg2", *fixed_words(fixed), *listed_words({"learning_rate": LEARNING_RATES[:2]})]
    words += ["search.searcher=grid", "search.scheduler=none", "search.metric=val_loss", "search.max_epochs=2", *ALONE]
    bench.search("features", [*words, "weights=none", f"data.size={bench.sizes.backbone_side}"])
    counts = bench.folder("features").read_run().data["counts"]
    costs = [event for event in bench.folder("features").read_events() if event["event"] == "features"]
    images, seconds = sum(each["images"] for each in costs), sum(each["seconds"] for each in costs)
    pool = sum(counts["train"]) + sum(counts["validation"])
    return Finding(
        images == pool,
        f"VGG16 saw {images:,} images for two trials on {pool:,}, with random weights, which are as fast.",
        (Quantity(f"VGG16 at {bench.sizes.backbone_side} px, its start included", "images/s", (images / seconds,)),)
        if seconds
        else (),
    )


def find_speed(bench: Bench) -> Finding:
    """How long an epoch of a small CNN takes on the full set, by its speed on the sample."""
    (trial,) = bench.cnn("cnn", words=ALONE).trials
    speed = images_per_second(trial, bench.training_images("cnn"))
    seconds = FULL_SET_IMAGES / speed
    return Finding(
        seconds <= FULL_SET_SECONDS,
        f"At this speed an epoch of the full set's {FULL_SET_IMAGES:,} training images takes {seconds:.1f} s.",
        (Quantity(f"a CNN of 3 blocks at {bench.sizes.side} px", "images/s", (speed,)),),
    )


def find_resumed(bench: Bench, deterministic: bool) -> Finding:
    """Whether a search whose driver was killed goes on, and with which records."""
    kind = "deterministic" if deterministic else "default"
    words = bench.cnn_words(2, [f"train.deterministic={str(deterministic).lower()}"])
    words += [*ALONE, "resources.max_concurrent=1"]
    whole = bench.search(f"undisturbed-{kind}", words)
    killed = bench.killed(f"killed-{kind}", words, epochs=bench.sizes.epochs // 2)
    events = bench.folder(f"killed-{kind}").read_events()
    logged = [(each["trial"], each["metrics"]["epoch"]) for each in events if each["event"] == "epoch"]
    return judge_resumed(whole.trials, killed.trials, logged, deterministic)


QUESTIONS = (
    Question("TensorFlow sees the card", 'pip install -e ".[gpu]"', "README.md", find_visible),
    Question("memory growth", "Memory growth is on", "README.md", find_growth),
    Question(
        "speed of a CNN",
        "An epoch of a small CNN on the full set takes about 20 s on one CPU thread and an estimated "
        f"{FULL_SET_SECONDS:g} s on a GPU",
        "docs/scale.md",
        find_speed,
    ),
    Question("mixed precision", "The precision follows from the GPU", "README.md", find_precision),
    *(
        Question(
            f"{number} trials on one card",
            "The share of a GPU that a trial gets follows from the measured memory of the largest model",
            "README.md",
            partial(find_shared, wanted=number),
            needs_card=False,
        )
        for number in SIDE_BY_SIDE
    ),
    Question(
        "out of memory",
        "A trial that does not fit into memory fails with a clear reason, and the search goes on",
        "docs/faults.md",
        find_too_large,
        needs_card=False,
    ),
    Question(
        "features of a backbone",
        "A frozen backbone runs once for all trials",
        "README.md",
        find_features,
        needs_card=False,
    ),
    Question(
        "kill and resume",
        "No recorded epoch is trained twice",
        "docs/faults.md",
        partial(find_resumed, deterministic=False),
        needs_card=False,
    ),
    Question(
        "kill and resume, deterministic",
        "On a GPU, a resumed search has the records of an undisturbed one with `train.deterministic=true`",
        "docs/faults.md",
        partial(find_resumed, deterministic=True),
        needs_card=False,
    ),
)
