"""Starts a search at best guesses: the first trials have their values, and a share of the random trials lies near them.

The space file has one (`space.guess`), and each run that `search.warm_start` names has its best configuration.

Which configuration a trial gets depends only on the search's seed and the trial's number, so that a resumed search
goes on as it would have without the interruption.

Source: Mallik et al. 2023, 'PriorBand: Practical Hyperparameter Optimization in the Age of Deep Learning' (normal
around the guess, a quarter of the range as its standard deviation; here half of the random trials stay random).
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

from search.plan.domains import Choice, Domain, Integer, Parameter
from search.plan.settings import Settings
from search.plan.spaces import Space, listed_plans, resolve
from search.record import WarmStart

_WIDTH = 0.25  # standard deviation around a guess, as a share of the range
_KEPT = 0.5  # how often a choice keeps its guess; else it is drawn from all values
_STARTUP_LEAST, _STARTUP_MOST = 4, 10


@dataclass(frozen=True)
class Prior:
    """The configurations that guesses give to a search's trials.

    Attributes:
        guesses: each is one of the first trials, in this order; missing parameters are drawn at random.
        share: of the random trials, those at or near a guess.
        startup: how many trials are random, the guesses counted: those before TPE's model, or all.
        seed: of the search.
    """

    space: Space
    guesses: tuple[Mapping[str, Any], ...]
    share: float
    startup: int
    seed: int

    def configuration(self, number: int) -> dict[str, Any] | None:
        """The configuration of trial `number`, a guess or near one; `None` where the sampler chooses."""
        draws = random.Random(f"{self.seed}/{number}")  # seeded by text: the same draws with every version of Python
        if number < len(self.guesses):
            return complete(self.space, self.guesses[number], draws)
        if self.guesses and self._is_near(number):
            return near(self.space, self.guesses[self._count(number) % len(self.guesses)], draws)
        return None

    @property
    def num_near(self) -> int:
        """How many trials lie near a guess, without the guesses themselves."""
        return sum(map(self._is_near, range(len(self.guesses), self.startup))) if self.guesses else 0

    def _is_near(self, number: int) -> bool:
        """Whether the trial belongs to the share, which is spread evenly and has trial 0 as its first."""
        return number < self.startup and self._count(number + 1) > self._count(number)

    def _count(self, number: int) -> int:
        """How many of the first `number` trials belong to the share."""
        return math.ceil(number * self.share)


def build_prior(space: Space, settings: Settings, warm: WarmStart) -> Prior:
    """The prior that the space, the settings and earlier runs give; it has no guesses where none are used."""
    search = settings.search
    guesses = (*own_guess(space, settings), *(trial.parameters for trial in warm.guesses))
    startup = search.num_trials
    if search.searcher != "random":
        startup = min(startup, max(0, startup_trials(settings) - len(warm.history)))
    return Prior(space, guesses, search.prior_share, startup, search.seed)


def own_guess(space: Space, settings: Settings) -> tuple[Mapping[str, Any], ...]:
    """The space's guess, alone in a tuple; empty where there is none or none is used."""
    is_used = space.guess and settings.search.prior_share > 0 and listed_plans(space, settings) is None
    return (space.guess,) if is_used else ()


def prior_lines(space: Space, settings: Settings, warm: WarmStart, taken: Sequence[str] = ()) -> list[str]:
    """What the guesses give the search, in lines for the screen; none without guesses.

    Args:
        space: of the search.
        settings: of the search.
        warm: what the search takes from earlier runs.
        taken: the lines that say so.
    """
    prior, lines = build_prior(space, settings, warm), []
    for guess in own_guess(space, settings):
        values = ", ".join(f"{name}={_text(value)}" for name, value in guess.items())
        lines.append(f"trial 0 is the space's guess: {values}")
    lines += taken
    others = prior.startup - len(prior.guesses)
    if prior.num_near:
        when = "" if settings.search.searcher == "random" else ", before TPE's model"
        which = "it" if len(prior.guesses) == 1 else "the guesses in turn"
        lines.append(
            f"random trials near {which}{when}: {prior.num_near} of {others} (search.prior_share={prior.share:g})"
        )
    return lines


def startup_trials(settings: Settings) -> int:
    """How many trials are random before TPE's model: a quarter of a short search, and at most Optuna's own default."""
    return min(_STARTUP_MOST, max(_STARTUP_LEAST, settings.search.num_trials // 4))


def complete(space: Space, known: Mapping[str, Any], draws: random.Random) -> dict[str, Any]:
    """A configuration of the space with the values that are known; those of other parameters are drawn at random."""

    def choose(parameter: Parameter) -> Any:
        if parameter.name in known:
            return own_value(parameter.domain, known[parameter.name])
        return _drawn(parameter.domain, draws)

    return resolve(space, choose)


def near(space: Space, guess: Mapping[str, Any], draws: random.Random) -> dict[str, Any]:
    """A configuration near a guess; parameters without one are drawn at random.

    A number is drawn from a normal around its guess, on the parameter's own scale and cut to its range. A choice keeps
    its guess half of the time, and is else drawn from all values.
    """

    def choose(parameter: Parameter) -> Any:
        domain = parameter.domain
        if parameter.name not in guess:
            return _drawn(domain, draws)
        if isinstance(domain, Choice):
            keeps = draws.random() < _KEPT
            return own_value(domain, guess[parameter.name]) if keeps else _drawn(domain, draws)
        low, high = _ends(domain)
        if low == high:
            return domain.low
        bell = NormalDist(
            math.log(guess[parameter.name]) if domain.log else guess[parameter.name], _WIDTH * (high - low)
        )
        at_low, at_high = bell.cdf(low), bell.cdf(high)
        return _value_at(domain, bell.inv_cdf(at_low + draws.random() * (at_high - at_low)))

    return resolve(space, choose)


def own_value(domain: Domain, value: Any) -> Any:
    """The domain's own form of a value that lies in it: 64 for 64.0 of a choice, 1.0 for 1 of a range."""
    if isinstance(domain, Choice):
        return domain.values[domain.values.index(value)]
    return value if isinstance(domain, Integer) else float(value)


def _drawn(domain: Domain, draws: random.Random) -> Any:
    """A uniformly random value, on the domain's own scale."""
    if isinstance(domain, Choice):
        return domain.values[int(draws.random() * len(domain.values))]
    low, high = _ends(domain)
    return _value_at(domain, low + draws.random() * (high - low))


def _ends(domain: Any) -> tuple[float, float]:
    """The ends of a range on its own scale; each whole number has an interval of width 1 around it."""
    margin = 0.5 if isinstance(domain, Integer) and domain.low < domain.high else 0.0
    low, high = domain.low - margin, domain.high + margin
    return (math.log(low), math.log(high)) if domain.log else (low, high)


def _value_at(domain: Any, place: float) -> Any:
    """The value at a place on the domain's own scale."""
    value = math.exp(place) if domain.log else place
    inside = min(max(value, domain.low), domain.high)
    return round(inside) if isinstance(domain, Integer) else inside


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).replace(" ", "")
