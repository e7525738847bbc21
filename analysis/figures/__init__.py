"""Figures: each a function that reduces records to plain numbers, and one that draws them with Plotly.

In a notebook: `figures.draw_slices(figures.slices(run.trials, run.metric, run.hyperparameters))`.
Each module names its public part in `__all__`.
"""

from analysis.figures.architecture import Layer as Layer
from analysis.figures.architecture import layers_of as layers_of
from analysis.figures.architecture import summary as summary
from analysis.figures.course import *
from analysis.figures.curves import *
from analysis.figures.dataset import *
from analysis.figures.decision import *
from analysis.figures.gallery import *
from analysis.figures.parallel import *
from analysis.figures.predictions import *
from analysis.figures.replays import *
from analysis.figures.scales import *
from analysis.figures.space import *
from analysis.figures.workers import *
