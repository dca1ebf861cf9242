# mypy: ignore-errors
"""Optimisers, schedules and clipping take the same path as PyTorch's, where it is installed."""

from __future__ import annotations

import copy
import inspect
import itertools

import numpy as np
import pytest

from fastconv import nn, optim
from fastconv.optim import lr_scheduler
from fastconv.random import manual_seed

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

RNG = np.random.default_rng(0)
SHAPES = [(3, 4), (5,), ()]


def combinations(count=24, **choices):
    """``count`` of all combinations of the choices, evenly spread, the first and the last among them."""
    names, every = list(choices), list(itertools.product(*choices.values()))
    chosen = np.unique(np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int))
    return [dict(zip(names, every[i], strict=True)) for i in chosen]


def twins(shapes=SHAPES):
    """The same parameters for both libraries."""
    arrays = [RNG.normal(size=shape) for shape in shapes]
    return [nn.Parameter(np.asarray(a)) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]


def give_gradients(*lists):
    for parameters in zip(*lists, strict=True):
        g = np.asarray(RNG.normal(size=tuple(parameters[0].shape)))
        for p in parameters:
            p.grad = torch.tensor(g) if isinstance(p, torch.Tensor) else g


def same(mine, theirs, rtol=1e-10):
    for p, q in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(p.numpy(), q.detach().numpy(), rtol=rtol, atol=1e-12)


# ---- Optimisers ------------------------------------------------------------------------------------------

DECAYS, BOTH = dict(weight_decay=[0.0, 0.1]), [False, True]
OPTIMIZERS = [
    *[("SGD", o) for o in combinations(lr=[0.1, 1e-3], momentum=[0, 0.9], dampening=[0, 0.3], **DECAYS, maximize=BOTH)],
    *[("SGD", o) for o in combinations(8, lr=[0.1], momentum=[0.5, 0.9], nesterov=[True], **DECAYS, maximize=BOTH)],
    *[(name, o) for name in ("Adam", "AdamW") for o in combinations(
        lr=[0.1, 1e-3], betas=[(0.9, 0.999), (0.5, 0.8)], eps=[1e-8, 1e-2], **DECAYS, amsgrad=BOTH, maximize=BOTH)],
    *[("RMSprop", o) for o in combinations(
        lr=[0.1, 1e-3], alpha=[0.99, 0.5], eps=[1e-8, 1e-2], **DECAYS, momentum=[0, 0.9], centered=BOTH,
        maximize=BOTH)],
    *[("Adagrad", o) for o in combinations(
        lr=[0.1, 1e-3], lr_decay=[0, 0.1], **DECAYS, initial_accumulator_value=[0, 0.5], eps=[1e-10, 1e-2],
        maximize=BOTH)],
]


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS, ids=str)
def test_optimizer(name, options):
    mine, theirs = twins()
    a, b = getattr(optim, name)(mine, **options), getattr(torch.optim, name)(theirs, **options)
    for _ in range(5):
        give_gradients(mine, theirs)
        a.step()
        b.step()
    same(mine, theirs)
    ours, other = a.state_dict(), b.state_dict()
    assert set(ours["param_groups"][0]) <= set(other["param_groups"][0])
    for i, state in other["state"].items():
        assert set(state) - {"step"} == {k for k, v in ours["state"][i].items() if v is not None} - {"step"}
        for key, value in state.items():
            np.testing.assert_allclose(ours["state"][i][key], np.asarray(value), rtol=1e-10, atol=1e-12)
    # PyTorch's state goes on here.
    continued = copy.deepcopy(mine)
    c = getattr(optim, name)(continued, **options)
    c.load_state_dict(other)
    give_gradients(mine, theirs, continued)
    for optimizer in (a, b, c):
        optimizer.step()
    same(mine, theirs)
    same(continued, theirs)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad"])
def test_signature(name):
    ours = inspect.signature(getattr(optim, name)).parameters
    theirs = inspect.signature(getattr(torch.optim, name)).parameters
    for key, parameter in ours.items():
        assert parameter.default == theirs[key].default
    positional = [k for k, p in ours.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [k for k in theirs if k in positional]


# ---- Schedules -------------------------------------------------------------------------------------------


def cosine_after_warm_up(m, o, warm=5, total=20, start=0.1, end=1.0, low=0.0):
    parts = [m.LinearLR(o, start, end, total_iters=warm), m.CosineAnnealingLR(o, max(total - warm, 1), low)]
    return m.SequentialLR(o, parts, [warm])


def three_in_a_row(m, o, first=3, second=8, gamma=0.5):
    parts = [m.StepLR(o, 2, gamma), m.LinearLR(o, 0.5, total_iters=4), m.MultiStepLR(o, [2, 2, 5], gamma)]
    return m.SequentialLR(o, parts, [first, second])


def of(name):
    return lambda m, o, **options: getattr(m, name)(o, **options)


SCHEDULES = {
    "StepLR": (of("StepLR"), combinations(step_size=[1, 2, 3, 7, 10, 50], gamma=[0.1, 0.5, 1.0, 2.0])),
    "MultiStepLR": (of("MultiStepLR"), combinations(
        milestones=[[], [1], [3, 7], [7, 3], [2, 2, 9], [25]], gamma=[0.1, 0.5, 1.0, 0.0])),
    "CosineAnnealingLR": (of("CosineAnnealingLR"), combinations(
        T_max=[1, 2, 3, 7, 10, 19, 30, 100], eta_min=[0.0, 0.01, 0.3])),
    "LinearLR": (of("LinearLR"), combinations(
        start_factor=[1 / 3, 0.01, 1.0], end_factor=[1.0, 0.5, 0.25], total_iters=[1, 5, 30])),
    "OneCycleLR": (of("OneCycleLR"), combinations(
        max_lr=[0.1, [0.3, 1.0]], total_steps=[30, 50], pct_start=[0.3, 0.25, 0.5], anneal_strategy=["cos", "linear"],
        three_phase=BOTH, div_factor=[25.0, 4.0], cycle_momentum=BOTH)),
    "warm-up, cosine": (cosine_after_warm_up, combinations(
        warm=[1, 3, 10], total=[12, 30], start=[0.1, 1.0], end=[1.0, 0.5], low=[0.0, 0.05])),
    "three in a row": (three_in_a_row, combinations(first=[1, 2, 5], second=[6, 7, 10, 29], gamma=[0.5, 0.1])),
}
CASES = [pytest.param(make, options, id=f"{name}-{options}")
         for name, (make, every) in SCHEDULES.items() for options in every]


def optimizers(kind):
    """One of each library, with two groups of different rates."""
    (p, q, _), (r, s, _) = twins()
    return (getattr(optim, kind)([{"params": [p]}, {"params": [q], "lr": 0.3}], lr=0.5),
            getattr(torch.optim, kind)([{"params": [r]}, {"params": [s], "lr": 0.3}], lr=0.5))


def settings(optimizer):
    return [[group["lr"], group.get("momentum", 0), *group.get("betas", ())] for group in optimizer.param_groups]


def advance(optimizer, scheduler, *metrics):
    optimizer.step()
    scheduler.step(*metrics)
    return settings(optimizer)


@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("make", "options"), CASES)
def test_schedule(make, options, kind):
    a, b = optimizers(kind)
    mine, theirs = make(lr_scheduler, a, **options), make(torch.optim.lr_scheduler, b, **options)
    np.testing.assert_allclose(settings(a), settings(b), rtol=1e-12, atol=1e-15)
    for _ in range(13):
        np.testing.assert_allclose(advance(a, mine), advance(b, theirs), rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(mine.get_last_lr(), theirs.get_last_lr(), rtol=1e-9, atol=1e-12)
    # Resumed: to the same bits from our own state, and to the same rates from PyTorch's.
    own, foreign = optimizers(kind)[0], optimizers(kind)[0]
    resumed, taken_over = make(lr_scheduler, own, **options), make(lr_scheduler, foreign, **options)
    for state, scheduler in ((a, resumed), (b, taken_over)):
        scheduler.optimizer.load_state_dict({**state.state_dict(), "state": {}})
    resumed.load_state_dict(mine.state_dict())
    taken_over.load_state_dict(theirs.state_dict())
    for _ in range(14):
        expected = advance(b, theirs)
        np.testing.assert_allclose(now := advance(a, mine), expected, rtol=1e-9, atol=1e-12)
        assert advance(own, resumed) == now
        np.testing.assert_allclose(advance(foreign, taken_over), expected, rtol=1e-9, atol=1e-12)


PLATEAUS = combinations(
    30, mode=["min", "max"], factor=[0.1, 0.5], patience=[0, 2], threshold=[1e-4, 0.2], threshold_mode=["rel", "abs"],
    cooldown=[0, 3], min_lr=[0, [0.01, 0.2]], eps=[1e-8, 0.05])


@pytest.mark.parametrize("options", PLATEAUS, ids=str)
def test_plateau(options):
    a, b = optimizers("SGD")
    make = of("ReduceLROnPlateau")
    mine, theirs = make(lr_scheduler, a, **options), make(torch.optim.lr_scheduler, b, **options)
    losses = [*RNG.uniform(0, 3, 12).round(1), np.nan, *RNG.uniform(0, 3, 12).round(1)]
    for loss in losses:
        np.testing.assert_allclose(advance(a, mine, loss), advance(b, theirs, loss), rtol=1e-12)
    own, foreign = optimizers("SGD")[0], optimizers("SGD")[0]
    resumed, taken_over = make(lr_scheduler, own), make(lr_scheduler, foreign)
    own.load_state_dict(a.state_dict())
    foreign.load_state_dict({**b.state_dict(), "state": {}})
    resumed.load_state_dict(mine.state_dict())
    taken_over.load_state_dict(theirs.state_dict())
    for loss in losses:
        now = advance(a, mine, loss)
        np.testing.assert_allclose(now, advance(b, theirs, loss), rtol=1e-12)
        assert now == advance(own, resumed, loss) == advance(foreign, taken_over, loss)


def test_plateaus_state_goes_to_pytorch():
    a, b = optimizers("SGD")
    mine, theirs = lr_scheduler.ReduceLROnPlateau(a), torch.optim.lr_scheduler.ReduceLROnPlateau(b)
    assert mine.state_dict() == theirs.state_dict()


@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
@pytest.mark.parametrize("names", list(itertools.combinations(["StepLR", "MultiStepLR", "CosineAnnealingLR",
                                                               "LinearLR"], 2)), ids=str)
@pytest.mark.parametrize("choice", range(4))
def test_chained_schedules_multiply(names, choice):
    a, b = optimizers("SGD")
    options = [dict(SCHEDULES[name][1][3 + 5 * choice]) for name in names]
    for o in options:
        if "eta_min" in o:    # another schedule may take the rate below it, and PyTorch's then below 0
            o["eta_min"] = 0.0
    mine = [getattr(lr_scheduler, n)(a, **o) for n, o in zip(names, options, strict=True)]
    theirs = [getattr(torch.optim.lr_scheduler, n)(b, **o) for n, o in zip(names, options, strict=True)]
    for _ in range(15):
        a.step()
        b.step()
        for scheduler in (*mine, *theirs):
            scheduler.step()
        np.testing.assert_allclose(settings(a), settings(b), rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore:Detected call of:UserWarning")
@pytest.mark.parametrize("last", [0, 1, 4, 6])
@pytest.mark.parametrize("name", ["StepLR", "MultiStepLR", "CosineAnnealingLR", "LinearLR"])
def test_going_on_from_last_epoch(name, last):
    a, b = optimizers("SGD")
    for group in (*a.param_groups, *b.param_groups):
        group["initial_lr"] = 1.0
    options = SCHEDULES[name][1][7]
    mine = getattr(lr_scheduler, name)(a, **options, last_epoch=last)
    theirs = getattr(torch.optim.lr_scheduler, name)(b, **options, last_epoch=last)
    for _ in range(9):
        np.testing.assert_allclose(settings(a), settings(b), rtol=1e-9, atol=1e-12)
        advance(a, mine)
        advance(b, theirs)


@pytest.mark.parametrize("name", [n for n in lr_scheduler.__all__ if n != "LRScheduler"])
def test_schedule_signature(name):
    ours = inspect.signature(getattr(lr_scheduler, name)).parameters
    theirs = inspect.signature(getattr(torch.optim.lr_scheduler, name)).parameters
    assert [(k, p.default) for k, p in ours.items()] == [(k, p.default) for k, p in theirs.items()]


# ---- Clipping --------------------------------------------------------------------------------------------

CLIPS = combinations(28, max_norm=[0.0, 0.1, 1.0, 1e3], norm_type=[2.0, 1.0, float("inf"), 3.0, 0.5, 2, 1.5])


@pytest.mark.parametrize("options", CLIPS, ids=str)
def test_clipping_by_norm(options):
    mine, theirs = twins()
    give_gradients(mine, theirs)
    norm = nn.utils.clip_grad_norm_(mine, **options)
    np.testing.assert_allclose(norm.item(), torch.nn.utils.clip_grad_norm_(theirs, **options).item(), rtol=1e-12)
    same([p.grad for p in mine], [p.grad for p in theirs])
    total = nn.utils.get_total_norm([p.grad for p in mine], options["norm_type"])
    other = torch.nn.utils.get_total_norm([p.grad for p in theirs], options["norm_type"])
    np.testing.assert_allclose(total.item(), other.item(), rtol=1e-12)


@pytest.mark.parametrize("limit", np.linspace(0, 3, 20))
def test_clipping_by_value(limit):
    mine, theirs = twins()
    give_gradients(mine, theirs)
    nn.utils.clip_grad_value_(mine, limit)
    torch.nn.utils.clip_grad_value_(theirs, limit)
    same([p.grad for p in mine], [p.grad for p in theirs])


# ---- Initial values --------------------------------------------------------------------------------------

FILLS = [
    *[(f"xavier_{kind}_", dict(gain=g)) for kind in ("uniform", "normal") for g in (1.0, 0.0, 0.3, 2.0, 10.0)],
    *[(f"kaiming_{kind}_", dict(mode=mode, nonlinearity=way, a=0.3)) for kind in ("uniform", "normal")
      for mode in ("fan_in", "fan_out") for way in ("relu", "leaky_relu", "selu")],
    *[("uniform_", dict(a=a, b=b)) for a, b in ((0.0, 1.0), (-1.0, 3.0), (2.0, 2.0), (-0.1, 0.1), (-5.0, -4.0))],
    *[("normal_", dict(mean=m, std=s)) for m, s in ((0.0, 1.0), (1.0, 0.3), (-2.0, 0.0), (0.0, 0.02), (9.0, 3.0))],
    *[("trunc_normal_", dict(mean=m, std=s, a=a, b=b)) for m, s, a, b in (
        (0.0, 1.0, -2.0, 2.0), (0.5, 0.5, 0.0, 1.0), (0.0, 0.02, -2.0, 2.0), (0.0, 1.0, 1.0, 2.0),
        (1.0, 2.0, 0.0, 0.5))],
    *[("constant_", dict(val=v)) for v in (0.0, 0.3, -1.0, 7.0, 1e9)], ("ones_", {}), ("zeros_", {}),
    *[("orthogonal_", dict(gain=g)) for g in (1.0, 0.0, 0.5, 2.0, 3.0)],
]


@pytest.mark.parametrize("shape", [(64, 32, 3, 3), (200, 100), (40, 300, 2), (16, 8, 3, 3, 3)], ids=str)
@pytest.mark.parametrize(("name", "options"), FILLS, ids=str)
def test_initial_values(name, options, shape):
    """Drawn numbers differ; their mean, deviation and largest must not."""
    torch.manual_seed(0)
    manual_seed(0)
    a = getattr(nn.init, name)(np.empty(shape), **options)
    b = getattr(torch.nn.init, name)(torch.empty(*shape, dtype=torch.float64), **options).numpy()
    n, spread = a.size, max(b.std(), 1e-9 * max(1, abs(b).max()))
    assert abs(a.mean() - b.mean()) < 8 * spread / np.sqrt(n)
    assert abs(a.std() - b.std()) < 8 * spread / np.sqrt(n)
    assert np.abs(a).max() == pytest.approx(np.abs(b).max(), rel=0.35 if "normal" in name or "ortho" in name else 1e-3)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("shape", [
    (4, 3, 3), (8, 2, 2), (4, 1, 3, 4), (4, 6, 5, 5), (8, 3, 1, 2, 3), (8, 8, 2), (4, 4, 1)])
def test_identities(shape, groups):
    a, b = nn.init.dirac_(np.empty(shape), groups), torch.nn.init.dirac_(torch.empty(*shape), groups)
    np.testing.assert_array_equal(a, b.numpy())
    one = torch.nn.init.eye_(torch.empty(*shape[:2])).numpy()
    np.testing.assert_array_equal(nn.init.eye_(np.empty(shape[:2])), one)


def test_signatures_of_fills():
    for name in nn.init.__all__:
        if hasattr(torch.nn.init, name):
            ours = inspect.signature(getattr(nn.init, name)).parameters
            theirs = inspect.signature(getattr(torch.nn.init, name)).parameters
            assert [(k, p.default) for k, p in ours.items()] == [(k, p.default) for k, p in theirs.items()], name
