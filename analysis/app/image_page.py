"""The page of a new image: where it is dropped, and the winner's answer about it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from dash import dcc, html

from analysis.app.asking import Reply, Similar
from analysis.load import Run
from search.record import OperatingPoint
from search.record.prevalence import at_prevalence

MOST_BYTES = 200_000_000  # of a dropped file
_NO_DIAGNOSIS = "A research result, from the images of one data set; it is no diagnosis."

Component = Any  # Dash ships no types for its components


def image_page(run: Run) -> list[Component]:
    """The page before an image is dropped; callbacks fill the parts with an id."""
    title = html.H1(f"{run.name}, a new image")
    if not run.folder.exists("winner", "model.keras"):
        said = "This run has no exported model: it gets one at its end, or from python -m search.evaluate RUN."
        return [title, html.P(said, className="problem")]
    drop = dcc.Upload(
        html.Div(["Drop an X-ray here, or ", html.Span("choose a file", className="link"), " (JPEG, PNG, DICOM, ...)"]),
        id="image-drop",
        className="drop",
        max_size=MOST_BYTES,
    )
    positive, findings = run.record.positive, run.classes if run.record.is_multilabel else ()
    # the callbacks read both in any case
    hidden = {"display": "none"}
    asked = html.Label(
        [
            f"Share of {positive} among your patients, %: ",
            dcc.Input(id="image-prevalence", type="number", min=0.01, max=99.99, step="any", debounce=True),
        ],
        style={} if positive else hidden,
    )
    shown = html.Label(
        [
            "Show what speaks for ",
            dcc.Dropdown([*findings], id="image-finding", placeholder="the most probable one called present"),
        ],
        style={} if findings else hidden,
    )
    live: dict[str, Any] = {"aria-live": "polite"}
    return [
        title,
        html.P("The run's exported model answers. The image stays on this machine and is not kept.", className="soft"),
        drop,
        html.Div([asked, shown], className="controls"),
        dcc.Loading(
            [dcc.Store(id="image-reply"), html.Div(id="image-answer", **live)],
            custom_spinner=html.P("The model is loaded and asked, which takes some seconds ...", role="status"),
            delay_show=200,
            parent_style={"minHeight": "6rem"},  # room for the spinner's words
        ),
    ]


def answer_parts(reply: Reply, prevalence: float | None) -> list[Component]:
    """The answer: probabilities with what they mean, warnings, Grad-CAM and similar training images.

    Args:
        reply: of the winner.
        prevalence: the share of the positive class that the reader stated, between 0 and 1; None for none.
    """
    if reply.reason:
        return [html.H2(reply.name), html.P(f"There is no answer: {reply.reason}", className="problem")]
    return [
        html.H2(f"{reply.name}: {reply.decision}"),
        *(html.P(f"{warning[:1].upper()}{warning[1:]}.", className="problem") for warning in reply.warnings),
        _findings(reply) if reply.thresholds else _scores(reply),
        *(html.P(sentence) for sentence in meaning(reply, prevalence)),
        html.Section(_pictures(reply)),
        html.Section(_similar(reply.similar)),
        html.P(_NO_DIAGNOSIS, className="soft"),
    ]


def meaning(reply: Reply, prevalence: float | None) -> list[str]:
    """What the probabilities mean, in sentences.

    Args:
        reply: with probabilities.
        prevalence: as in `answer_parts`.
    """
    if reply.thresholds:
        return [
            "Each finding is predicted by itself, and called present where its probability reaches its threshold: the "
            "one set on validation images, or 0.5 where these cannot tell. The model card says which probabilities are "
            "calibrated."
        ]
    two = len(reply.classes) == 2
    name = reply.classes[1] if two else reply.decision
    p = reply.probabilities[reply.classes.index(name)]
    if not reply.shares:
        found = ["The probabilities hold at no known class shares: only their order says something."]
    elif len(set(reply.shares)) == 1:
        found = [
            f"Where every class is equally frequent, {_in_hundred(p)} images with this answer show {name}. Where "
            f"{name} is rarer, fewer do."
        ]
    else:
        shares = ", ".join(f"{each} {share:.0%}" for each, share in zip(reply.classes, reply.shares, strict=True))
        found = [f"At the class shares of the training images ({shares}), {_in_hundred(p)} such images show {name}."]
    if two and reply.shares and prevalence is not None:
        there = float(at_prevalence(np.array([reply.probabilities]), reply.shares, prevalence)[0, 1])
        found.append(
            f"Among patients of whom {100 * prevalence:g} % have {name}, it is {_in_hundred(there)} images with this "
            f"answer (a probability of {there:.3f})."
        )
    if two:
        side = "at or above" if reply.decision == name else "below"
        wanted = "" if reply.point == OperatingPoint().name else f" ({reply.point})"
        found.append(f"The decision is {reply.decision}: {p:.3f} is {side} {reply.threshold:g}{wanted}.")
    return found


def _in_hundred(p: float) -> str:
    """A probability as a frequency: `83 in 100`; small and large ones with more digits."""
    if p < 0.01 or p > 0.99:
        return f"{1000 * p:.0f} in 1,000"
    return f"{100 * p:.0f} in 100"


def _scores(reply: Reply) -> Component:
    parts = [
        html.Div([html.Dt(f"probability of {name}"), html.Dd(f"{p:.3f}", className="value")])
        for name, p in zip(reply.classes, reply.probabilities, strict=True)
    ]
    return html.Dl(parts, className="scores")


def _findings(reply: Reply) -> Component:
    """The findings that are called present, then the others, each by its probability."""
    rows = sorted(
        zip(reply.classes, reply.probabilities, reply.thresholds, strict=True),
        key=lambda row: (row[1] < row[2], -row[1]),
    )
    head = [html.Th("finding"), html.Th("probability", className="number"), html.Th("threshold", className="number")]
    lines = [
        html.Tr(
            [
                html.Td(name),
                html.Td(f"{p:.4f}", className="number"),
                html.Td(f"{threshold:.4f}", className="number"),
                html.Td("yes" if p >= threshold else ""),
            ]
        )
        for name, p, threshold in rows
    ]
    return html.Table([html.Thead(html.Tr([*head, html.Th("called present")])), html.Tbody(lines)])


def _pictures(reply: Reply) -> Component:
    shown = [
        html.Img(src=reply.picture, alt="The image as the model saw it"),
        html.Img(src=reply.cam, alt=f"Grad-CAM over it, of {reply.cam_of}"),
    ]
    caption = f"The image as the model saw it, and what in it speaks for {reply.cam_of} (Grad-CAM)."
    return html.Figure([html.Div(shown, className="pair"), html.Figcaption(caption)])


def _similar(similar: Sequence[Similar]) -> list[Component]:
    """The similar training images, as far as there are any."""
    if not similar:
        return [html.P("The training images are not in this machine's cache, so none is shown.", className="soft")]
    items = [
        html.Li(
            [
                html.Img(src=each.picture, alt=each.image_id),
                html.Div(each.label),
                html.Div(f"{each.image_id}, likeness {each.likeness:.2f}", className="name"),
            ]
        )
        for each in similar
    ]
    caption = html.P("By the correlation of small copies, whatever the class.", className="lead")
    return [html.H2("Training images that look most like it"), caption, html.Ul(items, className="gallery")]
