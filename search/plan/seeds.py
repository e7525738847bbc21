"""Gives each trial its seed."""

import numpy as np

from search.plan.spaces import Plan


def trial_seed(search_seed: int, number: int, plan: Plan) -> int:
    """A trial's seed in [0, 2**31): from its number, or from its repeat where configurations are listed.

    Listed configurations share the seeds of their repeats, so that two of them differ in nothing but their values.
    """
    source = [search_seed, plan.repeat] if plan.listed else [search_seed, plan.repeat, number]
    return _seed(source)


def confirmation_seed(search_seed: int, number: int) -> int:
    """The seed in [0, 2**31) of the trial that confirms trial `number`; no trial of the search's own has it."""
    return _seed([search_seed, 0, number, 1])  # a fourth word: shorter sources are filled up with zeros


def _seed(source: list[int]) -> int:
    return int(np.random.SeedSequence(source).generate_state(1)[0]) % 2**31
