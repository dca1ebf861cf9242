# mypy: disable-error-code="arg-type, method-assign"
"""Schedules by their closed formulas, resuming, and what is refused; PyTorch is compared in test_torch_optim.py."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fastconv import nn, optim
from fastconv.autograd import tensor
from fastconv.optim.lr_scheduler import (
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)


def sgd(*rates: float) -> optim.SGD:
    groups = [{"params": [nn.Parameter(np.zeros(1))], "lr": rate} for rate in rates or (1.0,)]
    return optim.SGD(groups, momentum=0.9)


def rates(optimizer: optim.Optimizer, scheduler: LRScheduler, steps: int, group: int = 0) -> list[float]:
    """The rate at t = 0 to steps - 1."""
    seen = []
    for _ in range(steps):
        seen.append(optimizer.param_groups[group]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def cosine(t: float, period: float, low: float = 0.0) -> float:
    return low + (1 - low) * (1 + math.cos(math.pi * t / period)) / 2


FORMULAS: dict[str, tuple[Callable[[optim.Optimizer], LRScheduler], Callable[[int], float]]] = {
    "step": (lambda o: StepLR(o, 3, 0.5), lambda t: 0.5 ** (t // 3)),
    "multi-step": (lambda o: MultiStepLR(o, (7, 2, 2), 0.1), lambda t: 0.1 ** (2 * (t >= 2) + (t >= 7))),
    "cosine": (lambda o: CosineAnnealingLR(o, 8), lambda t: cosine(t, 8)),
    "cosine, low": (lambda o: CosineAnnealingLR(o, 5, 0.2), lambda t: cosine(t, 5, 0.2)),
    "warm-up": (lambda o: LinearLR(o, 0.1, total_iters=6), lambda t: 0.1 + 0.9 * min(t, 6) / 6),
    "down": (lambda o: LinearLR(o, 1.0, 0.0, 6), lambda t: 1 - min(t, 6) / 6),
    "warm-up, cosine": (
        lambda o: SequentialLR(o, [LinearLR(o, 0.25, total_iters=4), CosineAnnealingLR(o, 12)], [4]),
        lambda t: 0.25 + 0.75 * t / 4 if t < 4 else cosine(t - 4, 12)),
    "nested": (
        lambda o: SequentialLR(o, [SequentialLR(o, [LinearLR(o, 0.5, total_iters=2), StepLR(o, 1, 0.5)], [2]),
                                   CosineAnnealingLR(o, 9)], [5]),
        lambda t: [0.5, 0.75, 1, 0.5, 0.25][t] if t < 5 else cosine(t - 5, 9)),
    "one cycle, linear": (
        lambda o: OneCycleLR(o, 1.0, 20, pct_start=0.25, anneal_strategy="linear", div_factor=10, final_div_factor=10),
        lambda t: 0.1 + 0.9 * t / 4 if t <= 4 else 1 - 0.99 * (t - 4) / 15),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_closed_formula(name: str) -> None:
    make, formula = FORMULAS[name]
    optimizer = sgd(1.0)
    np.testing.assert_allclose(rates(optimizer, make(optimizer), 14), [formula(t) for t in range(14)], atol=1e-12)


def test_every_group_has_its_own_rate() -> None:
    optimizer = sgd(1.0, 0.5)
    scheduler = StepLR(optimizer, 1, 0.5)
    assert rates(optimizer, scheduler, 3, group=1) == [0.5, 0.25, 0.125]
    assert scheduler.get_last_lr() == [0.125, 0.0625]


def test_schedules_on_one_optimizer_multiply() -> None:
    optimizer = sgd(1.0)
    warm_up, decay = LinearLR(optimizer, 0.5, total_iters=4), StepLR(optimizer, 2, 0.1)
    seen = []
    for _ in range(6):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        warm_up.step()
        decay.step()
    np.testing.assert_allclose(seen, [(0.5 + 0.5 * min(t, 4) / 4) * 0.1 ** (t // 2) for t in range(6)])


def test_a_rate_never_falls_below_zero() -> None:
    optimizer = sgd(0.3)
    assert min(rates(optimizer, LinearLR(optimizer, 1 / 3, 0.0, 5), 9)) >= 0
    optimizer = sgd(0.3)
    scheduler = CosineAnnealingLR(optimizer, 7)
    for _ in range(50):
        scheduler.optimizer.stepped = True
        scheduler.step()
        assert optimizer.param_groups[0]["lr"] >= 0


def test_plateau() -> None:
    optimizer = sgd(1.0, 0.3)
    scheduler = ReduceLROnPlateau(optimizer, factor=0.5, patience=1, cooldown=1, min_lr=[0, 0.2])
    for loss, expected in ((1.0, 1.0), (0.9, 1.0), (0.9, 1.0), (0.9, 0.5), (5.0, 0.5), (5.0, 0.5), (5.0, 0.25),
                           (math.nan, 0.25), (0.1, 0.25)):
        scheduler.step(loss)
        assert optimizer.param_groups[0]["lr"] == expected
    assert scheduler.get_last_lr() == [0.25, 0.2] and scheduler.best == 0.1
    scheduler.step(tensor(0.05))


def test_momentum_goes_the_other_way() -> None:
    for make, key in ((lambda p: optim.SGD(p, momentum=0.9), "momentum"), (optim.AdamW, "betas")):
        optimizer = make([nn.Parameter(np.zeros(1))])
        scheduler = OneCycleLR(optimizer, 1.0, 11, base_momentum=0.8, max_momentum=0.9)
        seen = []
        for _ in range(10):
            setting = optimizer.param_groups[0][key]
            seen.append(setting if key == "momentum" else setting[0])
            optimizer.step()
            scheduler.step()
        assert seen[0] == pytest.approx(0.9) and min(seen) == pytest.approx(0.8, abs=3e-3) and seen[-1] > 0.89
        scheduler.step()
        with pytest.raises(ValueError, match="total_steps is 11"):
            scheduler.step()


@pytest.mark.parametrize("total", [1, 2, 3])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_short_cycles_stay_finite(total: int, share: float) -> None:
    optimizer = sgd(1.0)
    assert all(0 <= rate <= 1 for rate in rates(optimizer, OneCycleLR(optimizer, 1.0, total, pct_start=share), total))


def train(optimizer: optim.Optimizer, scheduler: LRScheduler, layer: nn.Linear, steps: range) -> None:
    for step in steps:
        x = np.random.default_rng(step).normal(size=(4, 3)).astype(np.float32)
        optimizer.zero_grad()
        loss = (layer(tensor(x)) ** 2).mean()
        loss.backward()
        optimizer.step()
        scheduler.step(*([loss.item()] if isinstance(scheduler, ReduceLROnPlateau) else []))


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW, optim.RMSprop, optim.Adagrad])
@pytest.mark.parametrize("name", [*FORMULAS, "plateau"])
def test_resuming_gives_the_same_bits(name: str, kind: Any) -> None:
    """Stopped in the middle, written as JSON, and gone on with in new objects."""
    def make() -> tuple[nn.Linear, optim.Optimizer, LRScheduler]:
        layer = nn.Linear(3, 2)
        options = {"momentum": 0.9} if kind in (optim.SGD, optim.RMSprop) else {}
        optimizer = kind(layer.parameters(), lr=0.1, **options)
        if name == "plateau":
            return layer, optimizer, ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        if name == "one cycle, linear" and kind is optim.Adagrad:
            return layer, optimizer, OneCycleLR(optimizer, 1.0, 20, cycle_momentum=False)
        return layer, optimizer, FORMULAS[name][0](optimizer)

    layer, optimizer, scheduler = make()
    train(optimizer, scheduler, layer, range(7))
    state = layer.state_dict(), optimizer.state_dict(), json.loads(json.dumps(scheduler.state_dict()))
    train(optimizer, scheduler, layer, range(7, 13))

    resumed, second, continued = make()
    resumed.load_state_dict(state[0])
    second.load_state_dict(state[1])
    continued.load_state_dict(state[2])
    train(second, continued, resumed, range(7, 13))
    np.testing.assert_array_equal(resumed.weight.numpy(), layer.weight.numpy())
    assert second.param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    assert continued.state_dict() == scheduler.state_dict()


def test_a_state_dict_is_a_copy() -> None:
    optimizer = sgd(1.0)
    scheduler = MultiStepLR(optimizer, [1, 2])
    state = scheduler.state_dict()
    rates(optimizer, scheduler, 2)
    assert state["last_epoch"] == 0
    state["milestones"].append(99)
    assert scheduler.milestones == [1, 2]


def test_loading_what_does_not_fit_changes_nothing() -> None:
    optimizer = sgd(1.0)
    for make, other in ((lambda: StepLR(optimizer, 2), CosineAnnealingLR(optimizer, 3)),
                        (lambda: ReduceLROnPlateau(optimizer), StepLR(optimizer, 2)),
                        (lambda: MultiStepLR(optimizer, [2]), StepLR(optimizer, 2))):
        scheduler = make()
        before = scheduler.state_dict()
        with pytest.raises(ValueError, match=f"not that of a {type(scheduler).__name__}: it lacks"):
            scheduler.load_state_dict(other.state_dict())
        assert scheduler.state_dict() == before
    two = SequentialLR(optimizer, [StepLR(optimizer, 2), StepLR(optimizer, 3)], [4])
    one = SequentialLR(optimizer, [StepLR(optimizer, 2)], [])
    with pytest.raises(ValueError, match="1 schedulers, expected 2"):
        two.load_state_dict(one.state_dict())


def test_stepping_before_the_optimizer_warns() -> None:
    optimizer = sgd(1.0)
    scheduler = StepLR(optimizer, 1)
    with pytest.warns(UserWarning, match=r"before optimizer\.step"):
        scheduler.step()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scheduler.step()
        rates(*(lambda o: (o, StepLR(o, 1)))(sgd(1.0)), 3)


SGD = sgd(1.0)
REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (lambda: StepLR(None, 1), TypeError, "optimizer"),
    (lambda: StepLR(SGD, 0), ValueError, "step_size"),
    (lambda: StepLR(SGD, 1.5), TypeError, "step_size"),
    (lambda: StepLR(SGD, 1, -0.1), ValueError, "gamma"),
    (lambda: StepLR(SGD, 1, "a"), TypeError, "gamma"),
    (lambda: StepLR(SGD, 1, last_epoch=-2), ValueError, "last_epoch"),
    (lambda: StepLR(sgd(1.0), 1, last_epoch=3), ValueError, "last_epoch=3.*initial_lr"),
    (lambda: MultiStepLR(SGD, 3), TypeError, "milestones"),
    (lambda: MultiStepLR(SGD, [1, 2.5]), TypeError, r"milestones\[1\]"),
    (lambda: MultiStepLR(SGD, [-1]), ValueError, r"milestones\[0\]"),
    (lambda: CosineAnnealingLR(SGD, 0), ValueError, "T_max"),
    (lambda: CosineAnnealingLR(SGD, 1, -1), ValueError, "eta_min"),
    (lambda: LinearLR(SGD, 0), ValueError, "start_factor"),
    (lambda: LinearLR(SGD, 2), ValueError, "start_factor"),
    (lambda: LinearLR(SGD, 1, -1), ValueError, "end_factor"),
    (lambda: LinearLR(SGD, 1, 1, -1), ValueError, "total_iters"),
    (lambda: OneCycleLR(SGD, 1.0), ValueError, "total_steps"),
    (lambda: OneCycleLR(SGD, 1.0, 0), ValueError, "total_steps"),
    (lambda: OneCycleLR(SGD, 1.0, epochs=1, steps_per_epoch=0), ValueError, "steps_per_epoch"),
    (lambda: OneCycleLR(SGD, -1.0, 10), ValueError, "max_lr"),
    (lambda: OneCycleLR(SGD, [1.0, 2.0], 10), ValueError, "max_lr.*1 groups, got 2"),
    (lambda: OneCycleLR(SGD, 1.0, 10, pct_start=1.1), ValueError, "pct_start"),
    (lambda: OneCycleLR(SGD, 1.0, 10, anneal_strategy="sine"), ValueError, "anneal_strategy"),
    (lambda: OneCycleLR(SGD, 1.0, 10, div_factor=0), ValueError, "div_factor"),
    (lambda: OneCycleLR(SGD, 1.0, 10, final_div_factor=0), ValueError, "final_div_factor"),
    (lambda: OneCycleLR(SGD, 1.0, 10, max_momentum=2), ValueError, "max_momentum"),
    (lambda: OneCycleLR(SGD, 1.0, 10, three_phase=1), TypeError, "three_phase"),
    (lambda: OneCycleLR(optim.Adagrad([nn.Parameter(np.ones(1))]), 1.0, 10), ValueError, "cycle_momentum.*Adagrad"),
    (lambda: ReduceLROnPlateau(SGD, "low"), ValueError, "mode"),
    (lambda: ReduceLROnPlateau(SGD, factor=1.0), ValueError, "factor"),
    (lambda: ReduceLROnPlateau(SGD, patience=-1), ValueError, "patience"),
    (lambda: ReduceLROnPlateau(SGD, threshold=-1), ValueError, "threshold"),
    (lambda: ReduceLROnPlateau(SGD, threshold_mode="x"), ValueError, "threshold_mode"),
    (lambda: ReduceLROnPlateau(SGD, cooldown=1.0), TypeError, "cooldown"),
    (lambda: ReduceLROnPlateau(SGD, min_lr=[0, 0]), ValueError, "min_lr"),
    (lambda: ReduceLROnPlateau(SGD).step(), TypeError, "metrics"),
    (lambda: ReduceLROnPlateau(SGD).step("low"), TypeError, "metrics"),
    (lambda: SequentialLR(SGD, [StepLR(SGD, 1)], [1]), ValueError, "milestones"),
    (lambda: SequentialLR(SGD, [StepLR(SGD, 1), None], [1]), TypeError, r"schedulers\[1\]"),
    (lambda: SequentialLR(SGD, [StepLR(SGD, 1), ReduceLROnPlateau(SGD)], [1]), TypeError, r"schedulers\[1\]"),
    (lambda: SequentialLR(SGD, [StepLR(sgd(1.0), 1)], []), ValueError, r"schedulers\[0\]"),
    (lambda: SequentialLR(SGD, [], []), ValueError, "milestones"),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSED, ids=[f"{i}-{c[2]}" for i, c in enumerate(REFUSED)])
def test_refuses(call: Callable[[], Any], kind: type[Exception], text: str) -> None:
    with pytest.raises(kind, match=text):
        call()
