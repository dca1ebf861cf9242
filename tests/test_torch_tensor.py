# mypy: ignore-errors
"""Operations on tensors agree with PyTorch's, where it is installed: names, parameters, values, gradients, types."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

import fastconv
from fastconv.autograd import tensor

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing to compare with")

RNG = np.random.default_rng(0)
SHAPES = [(), (5,), (1,), (3, 4), (1, 6), (2, 3, 4), (4, 1, 3), (2, 3, 2, 2), (1, 2, 1, 3), (2, 1, 3, 1, 2)]


def draw(shape, kind="signed"):
    if kind == "positive":
        return RNG.uniform(0.3, 2.5, shape)
    if kind == "ties":
        return RNG.integers(-2, 3, shape).astype(float)
    return RNG.normal(size=shape)


def each(build, kinds=("signed", "positive", "ties")):
    """The same of one tensor of every shape."""
    return [(build, (draw(shape, kind),)) for shape in SHAPES for kind in kinds]


# tuples: more axes for tensors of several. PyTorch divides the gradients of var and std for dim=() by another number.
def dims(build, kinds=("signed", "ties"), tuples=None, zero=True):
    """build(m, x, dim, keepdim) along every axis."""
    found = []
    for shape in SHAPES:
        axes = list(range(-len(shape), len(shape))) if shape else [0, -1] if zero else []
        if tuples is not None and len(shape) > 1:
            axes += [(0, -1), list(range(len(shape))), None, *tuples]
        for i, axis in enumerate(axes):
            for kind in kinds:
                found.append((lambda m, x, a=axis, k=bool(i % 2): build(m, x, a, k), (draw(shape, kind),)))
    return found


PAIRS = [((3, 4), (3, 4)), ((3, 4), (4,)), ((3, 1), (1, 4)), ((), (2, 3)), ((2, 3), ()), ((5,), (1,)),
         ((2, 1, 3), (4, 1)),
         ((1,), (2, 2)), ((2, 3, 2, 2), (3, 1, 1)), ((1, 1), (3, 5))]
MATRICES = [((3, 4), (4, 2)), ((4,), (4,)), ((4,), (4, 2)), ((3, 4), (4,)), ((2, 3, 4), (4, 2)), ((2, 3, 4), (4,)),
            ((4,), (2, 4, 3)), ((3, 4), (2, 4, 3)), ((2, 3, 4), (2, 4, 3)), ((5, 1, 3, 4), (2, 4, 2)), ((1, 4), (4, 1)),
            ((2, 2, 1, 3), (1, 2, 3, 4)), ((6, 1), (1, 5)), ((1, 1), (1, 1)), ((7, 33), (33, 5)), ((0, 4), (4, 2)),
            ((3, 0), (0, 2)), ((2, 0, 4), (2, 4, 3)), ((4,), (3, 2, 4, 3)), ((2, 3, 4), (1, 4, 5))]


def pairs(build, kinds=("signed", "ties"), shapes=PAIRS):
    return [(build, (draw(a, kind), draw(b, kind))) for a, b in shapes for kind in kinds]


def mask_of(shape):
    return np.asarray(RNG.random(shape) < 0.5)


def wheres():
    found = []
    for a, b in PAIRS:
        both, one = mask_of(np.broadcast_shapes(a, b)), mask_of(a)
        found.append((lambda m, x, y, c=both: m.where(same(m, c), x, y), (draw(a), draw(b))))
        found.append((lambda m, x, c=one: m.where(same(m, c), x, 0.25), (draw(a),)))
        found.append((lambda m, x, c=one: m.where(same(m, c), -1.5, x), (draw(a),)))
    return found


def fills():
    shapes = SHAPES + [s[1:] for s in SHAPES if s] + [(1, *s[1:]) for s in SHAPES if s]
    full = SHAPES + [s for s in SHAPES if s] * 2
    return [(lambda m, x, c=c: x.masked_fill(same(m, c), -np.inf if c.ndim else 2), (draw(f),))
            for c, f in zip(map(mask_of, shapes), full, strict=True)]


def same(m, array):
    return torch.from_numpy(np.asarray(array)) if m is torch else tensor(array)


def gathers():
    found = []
    for shape in [s for s in SHAPES if s]:
        for dim in range(-1, len(shape)):
            index = RNG.integers(0, shape[dim], [int(RNG.integers(1, n + 1)) for n in shape])
            rows = RNG.integers(0, shape[dim], 3)
            found.append((lambda m, x, d=dim, i=index: m.gather(x, d, same(m, i)), (draw(shape),)))
            found.append((lambda m, x, d=dim, i=rows: m.index_select(x, d, same(m, i)), (draw(shape),)))
    return found


def joined(name):
    found = []
    for shape in SHAPES:
        for dim in range(-len(shape), len(shape)) if shape else [0] if name == "stack" else []:
            def build(m, *parts, d=dim):
                return getattr(m, name)(parts, d)

            found.append((build, (draw(shape), draw(shape))))
            if name == "cat":
                other = list(shape)
                other[dim] = 4
                found.append((build, (draw(shape), draw(other), draw(shape))))
    return found


def parts(m, pieces):
    """What is made of the pieces has the gradient of each."""
    return m.cat([piece.reshape(-1) * (i + 1) for i, piece in enumerate(pieces)])


def cuts():
    found = []
    for shape in [s for s in SHAPES if s]:
        for dim in range(-1, len(shape)):
            n = shape[dim]
            found += [
                (lambda m, x, d=dim: parts(m, m.split(x, 2, d)), (draw(shape),)),
                (lambda m, x, d=dim: parts(m, x.chunk(3, d)), (draw(shape),)),
                (lambda m, x, d=dim, n=n: parts(m, x.split([n - 1, 1], d)), (draw(shape),)),
                (lambda m, x, d=dim: parts(m, m.unbind(x, d)), (draw(shape),)),
                (lambda m, x, d=dim, n=n: m.narrow(x, d, n // 2, n - n // 2), (draw(shape),)),
                (lambda m, x, d=dim: x.select(d, -1), (draw(shape),)),
            ]
    return found


KEYS = [np.s_[1], np.s_[-1], np.s_[:], np.s_[1:], np.s_[:, 0], np.s_[..., None, 1], np.s_[None], np.s_[:2, 1:],
        np.s_[::2],
        np.s_[..., ::2], [0, 0, 1], np.s_[:, [1, 0, 1]], np.s_[1, 2], np.s_[0:0], np.s_[...], np.s_[-2:, -1:],
        np.s_[:, None],
        np.s_[[0, 1], [1, 1]], np.s_[1:2, ..., 0], np.s_[None, ..., None]]
PADS = [((1, 2), {}), ((0, 1, 2, 0), {}), ((-1, 1), dict(value=2.0)), ((1, 1, 0, 2), dict(mode="reflect")),
        ((2, 1), dict(mode="replicate")), ((1, 2), dict(mode="circular")), ((1, -1, -1, 1), {}), ((0, 0), {})]

CASES = {
    "add": pairs(lambda m, x, y: m.add(x, y)) + pairs(lambda m, x, y: m.add(x, y, alpha=2.5)),
    "sub": pairs(lambda m, x, y: m.sub(x, y)) + pairs(lambda m, x, y: x.sub(y, alpha=3)),
    "mul": pairs(lambda m, x, y: m.mul(x, y)),
    "div": pairs(lambda m, x, y: m.div(x, y), ("signed", "positive")),
    "pow": pairs(lambda m, x, y: m.pow(x, y), ("positive",)) + each(lambda m, x: x.pow(3))
    + each(lambda m, x: m.pow(2, x)),
    "neg": each(lambda m, x: m.neg(x)),
    "maximum": pairs(lambda m, x, y: m.maximum(x, y)) + pairs(lambda m, x, y: m.max(x, y)),
    "minimum": pairs(lambda m, x, y: m.minimum(x, y)),
    "matmul": pairs(lambda m, x, y: m.matmul(x, y), ("signed", "ties"), MATRICES),
    "where": wheres(), "masked_fill": fills(), "gather and index_select": gathers(),
    "exp": each(lambda m, x: m.exp(x)), "log": each(lambda m, x: m.log(x), ["positive"] * 2),
    "log1p": each(lambda m, x: x.log1p(), ["positive"] * 2), "sqrt": each(lambda m, x: m.sqrt(x), ["positive"] * 2),
    "square": each(lambda m, x: m.square(x)), "abs": each(lambda m, x: m.abs(x)),
    "clamp": each(lambda m, x: m.clamp(x, -1, 1)) + each(lambda m, x: x.clamp(min=0))
    + each(lambda m, x: x.clamp(max=0.5)),
    "clone": each(lambda m, x: m.clone(x)), "relu": each(lambda m, x: m.relu(x)),
    "sigmoid": each(lambda m, x: m.sigmoid(x)), "tanh": each(lambda m, x: m.tanh(x)),
    "sum": each(lambda m, x: m.sum(x)) + dims(lambda m, x, d, k: x.sum(d, k), tuples=[()]),
    "mean": each(lambda m, x: m.mean(x)) + dims(lambda m, x, d, k: x.mean(dim=d, keepdim=k), tuples=[()]),
    "var": dims(lambda m, x, d, k: m.var(x, d, correction=0, keepdim=k), tuples=[])
    + dims(lambda m, x, d, k: x.var(d, keepdim=k), tuples=[]),
    "std": dims(lambda m, x, d, k: m.std(x, d, correction=0, keepdim=k), tuples=[])
    + dims(lambda m, x, d, k: x.std(d, unbiased=True, keepdim=k)),
    "prod": each(lambda m, x: m.prod(x)) + dims(lambda m, x, d, k: m.prod(x, d, k)),
    "cumsum": dims(lambda m, x, d, k: m.cumsum(x, d)),
    "norm": each(lambda m, x: m.norm(x)) + [
        case for p in (1, 2, 3.5, np.inf, -np.inf, "fro")
        for case in dims(lambda m, x, d, k, p=p: m.norm(x, p, d, k), ("signed",), zero=False)
    ] + dims(lambda m, x, d, k: m.norm(x.detach(), 0, d, k), zero=False),
    "max": each(lambda m, x: m.max(x)) + dims(lambda m, x, d, k: m.max(x, d, k).values)
    + dims(lambda m, x, d, k: x.max(d, keepdim=k)[1]),
    "min": each(lambda m, x: m.min(x)) + dims(lambda m, x, d, k: m.min(x, d, k).values)
    + dims(lambda m, x, d, k: x.min(d, keepdim=k).indices),
    "amax": dims(lambda m, x, d, k: m.amax(x, () if d is None else d, k), tuples=[()]),
    "amin": dims(lambda m, x, d, k: m.amin(x, () if d is None else d, k), tuples=[()]),
    "argmax": each(lambda m, x: m.argmax(x)) + dims(lambda m, x, d, k: m.argmax(x, d, k)),
    "argmin": each(lambda m, x: m.argmin(x)) + dims(lambda m, x, d, k: m.argmin(x, d, k)),
    "all and any": dims(lambda m, x, d, k: m.all(x > 0, d, k)) + dims(lambda m, x, d, k: m.any(x > 0, d, k)),
    "comparisons": pairs(lambda m, x, y: (m.eq(x, y) | m.lt(x, y)) & ~m.gt(x, y))
    + pairs(lambda m, x, y: m.logical_or(m.ne(x, y), m.logical_and(m.le(x, y), m.ge(y, x)))),
    "reshape": each(lambda m, x: m.reshape(x, (-1,))) + each(lambda m, x: x.reshape(1, -1))
    + each(lambda m, x: x.view(-1, 1)),
    "flatten": each(lambda m, x: m.flatten(x)) + [
        (lambda m, x, a=a, b=b: x.flatten(a, b), (draw(s),)) for s in SHAPES if s
        for a in range(len(s)) for b in range(a, len(s))
    ],
    "squeeze": each(lambda m, x: m.squeeze(x)) + dims(lambda m, x, d, k: x.squeeze(d)),
    "unsqueeze": dims(lambda m, x, d, k: m.unsqueeze(x, d)),
    "permute": [(lambda m, x, o=o: m.permute(x, o), (draw(s),)) for s in SHAPES for _ in range(2)
                for o in [tuple(int(i) for i in RNG.permutation(len(s)))]]
    + each(lambda m, x: x.permute(tuple(range(-1, -x.ndim - 1, -1))), ["signed"]),
    "transpose": dims(lambda m, x, d, k: m.transpose(x, d, 0)),
    "expand": [(lambda m, x, s=s: x.expand(2, *[-1 if n > 1 else 3 for n in s]), (draw(s),)) for s in SHAPES]
    + [(lambda m, x, s=s: m.broadcast_to(x, (3, *s)), (draw(s),)) for s in SHAPES],
    "repeat": [(lambda m, x, r=r: x.repeat(*r), (draw(s),)) for s in SHAPES
               for r in ([1] * len(s) + [2], [3, *[2] * len(s)], [1] * max(len(s), 1))],
    "flip": dims(lambda m, x, d, k: m.flip(x, (d,)), zero=False) + dims(lambda m, x, d, k: x.flip(d), zero=False),
    "roll": dims(lambda m, x, d, k: m.roll(x, 2, d), zero=False) + each(lambda m, x: x.roll(-1)),
    "cat": joined("cat"), "stack": joined("stack"), "split": cuts(),
    "index": [(lambda m, x, k=k: x[k], (draw(s),)) for k in KEYS for s in [(3, 4), (2, 3, 4)]],
    "pad": [(lambda m, x, p=p, o=o: (torch.nn.functional if m is torch else fastconv).pad(x, p, **o), (draw(s),))
            for p, o in PADS for s in [(2, 5, 4), (1, 6, 5), (3, 3, 3)]],
}  # fmt: skip


def test_twenty_configurations_each():
    assert {name: len(found) for name, found in CASES.items() if len(found) < 20} == {}


def both(arrays):
    mine = [tensor(a, requires_grad=True) for a in arrays]
    theirs = [torch.from_numpy(np.array(a)).requires_grad_() for a in arrays]
    return mine, theirs


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [np.float64, np.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("name", CASES)
def test_agreement(name, dtype):
    for number, (build, arrays) in enumerate(CASES[name]):
        mine, theirs = both([a.astype(dtype) for a in arrays])
        y, expected = build(fastconv, *mine), build(torch, *theirs)
        where = f"{name}, case {number}, shapes {[a.shape for a in arrays]}"
        assert y.shape == tuple(expected.shape), where
        assert str(y.dtype) == str(expected.dtype).removeprefix("torch."), where
        tolerance = dict(rtol=1e-10, atol=1e-12) if dtype == np.float64 else dict(rtol=2e-5, atol=2e-6)
        np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), **tolerance, err_msg=where)
        assert y.requires_grad == expected.requires_grad, where
        if not y.requires_grad:
            continue
        seed = np.asarray(RNG.normal(size=y.shape), dtype)
        y.backward(seed)
        expected.backward(torch.from_numpy(seed))
        for i, (a, b) in enumerate(zip(mine, theirs, strict=True)):
            np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), **tolerance, err_msg=f"{where}: gradient {i}")


SPECIAL = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, 1e-300, 3.0, 3.0]
ELEMENTWISE = ["exp", "log", "log1p", "sqrt", "abs", "square", "relu", "sigmoid", "tanh", "neg", "isnan", "isfinite"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*ELEMENTWISE, "clamp", "max", "min", "amax", "maximum", "sum", "mean", "var",
                                  "prod", "norm",
                                  "norm1", "norminf", "cumsum", "argmax", "std of equal ones", "norm of zeros"])
def test_special_values(name):
    build = {
        "clamp": lambda m, x: m.clamp(x, -1.0, 3.0), "max": lambda m, x: m.max(x, 0).values,
        "min": lambda m, x: m.min(x, 0).values, "maximum": lambda m, x: m.maximum(x, m.flip(x, (0,))),
        "norm1": lambda m, x: m.norm(x, 1), "norminf": lambda m, x: m.norm(x, np.inf), "amax": lambda m, x: x.amax(0),
        "cumsum": lambda m, x: m.cumsum(x, 0), "std of equal ones": lambda m, x: m.std(m.clamp(x[:2], 0, 1)),
        "norm of zeros": lambda m, x: m.norm(x[:2]),
    }.get(name, lambda m, x: getattr(m, name)(x))
    for values in (SPECIAL, SPECIAL[:3] + SPECIAL[-2:], SPECIAL[4:6], SPECIAL[6:], SPECIAL[:2]):
        if name in ("amax", "prod") and not np.isfinite(values).all():
            continue    # PyTorch's gradients are NaN everywhere for amax, and NaN or 0 for prod, which divides by x
        (mine,), (theirs,) = both([np.array(values)])
        y, expected = build(fastconv, mine), build(torch, theirs)
        np.testing.assert_allclose(y.numpy(), expected.detach().numpy(), rtol=1e-12)
        if y.requires_grad:
            y.sum().backward()
            expected.sum().backward()
            np.testing.assert_allclose(mine.grad.numpy(), theirs.grad.numpy(), rtol=1e-12, err_msg=str(values))


EMPTY = [lambda m, x: x.sum(), lambda m, x: x.sum(0), lambda m, x: x.mean(1), lambda m, x: x.prod(0),
         lambda m, x: m.cat([x, x]),
         lambda m, x: m.stack([x, x], 1), lambda m, x: x.split(2, 1)[0], lambda m, x: x.chunk(2)[1],
         lambda m, x: x.reshape(3, 0),
         lambda m, x: x.expand(0, 3), lambda m, x: x.flip(0), lambda m, x: x.roll(1, 0), lambda m, x: x.repeat(2, 2),
         lambda m, x: x.cumsum(0), lambda m, x: x.max(1).values, lambda m, x: x @ x.transpose(0, 1),
         lambda m, x: x.norm(),
         lambda m, x: x[:, 1], lambda m, x: x.gather(0, same(m, np.zeros((0, 2), np.int64))), lambda m, x: x.amax(1),
         lambda m, x: x.var(1), lambda m, x: x.exp() + x.clamp(0), lambda m, x: x.transpose(0, 1) @ x]


@pytest.mark.parametrize("number", range(len(EMPTY)))
def test_empty_tensors(number):
    (mine,), (theirs,) = both([np.zeros((0, 3))])
    y, expected = EMPTY[number](fastconv, mine), EMPTY[number](torch, theirs)
    assert y.shape == tuple(expected.shape)
    np.testing.assert_array_equal(y.numpy(), expected.detach().numpy())
    y.sum().backward()
    assert mine.grad.shape == (0, 3)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.bool_, np.uint8])
def test_types_of_what_is_made_of_integers(dtype):
    array = np.array([[1, 0, 1], [1, 1, 0]], dtype)
    mine, theirs = tensor(array), torch.from_numpy(array.copy())
    for build in (
        lambda m, x: m.sum(x), lambda m, x: m.sum(x, 1), lambda m, x: m.prod(x), lambda m, x: m.cumsum(x, 0),
        lambda m, x: m.exp(x), lambda m, x: m.sqrt(x), lambda m, x: m.sigmoid(x), lambda m, x: x / 2,
        lambda m, x: x * 2.5,
        lambda m, x: m.cat([x, x]), lambda m, x: m.cat([x, m.ones(1, 3)]), lambda m, x: m.stack([x, x]),
        lambda m, x: x.max(1)[0],
        lambda m, x: m.argmax(x + 0, 1), lambda m, x: m.where(x > 0, 1.5, x), lambda m, x: m.zeros_like(x),
        lambda m, x: m.sum(x, dtype=np.float32 if m is fastconv else torch.float32), lambda m, x: x @ x.transpose(0, 1),
    ):
        if dtype == np.bool_:
            try:
                expected = build(torch, theirs)
            except (RuntimeError, NotImplementedError):
                continue
        else:
            expected = build(torch, theirs)
        y = build(fastconv, mine)
        assert str(y.dtype) == str(expected.dtype).removeprefix("torch."), inspect.getsource(build)
        np.testing.assert_allclose(y.numpy(), expected.numpy(), rtol=1e-6)


def test_constructors():
    for build in (
        lambda m: m.zeros(2, 3), lambda m: m.zeros((2,)), lambda m: m.ones(4), lambda m: m.full((2, 2), 3),
        lambda m: m.zeros(()),
        lambda m: m.full((2,), 1.5), lambda m: m.full((1,), True), lambda m: m.arange(5), lambda m: m.arange(1, 4),
        lambda m: m.arange(0, 1, 0.25), lambda m: m.arange(5, 1, -2), lambda m: m.arange(2.5),
        lambda m: m.tensor([1, 2]),
        lambda m: m.tensor([[1.0, 2.0]]), lambda m: m.tensor(True), lambda m: m.ones_like(m.zeros(3)),
        lambda m: m.arange(3, 3),
        lambda m: m.full_like(m.ones(2), 7), lambda m: m.zeros_like(m.arange(3)), lambda m: m.from_numpy(np.eye(2)),
        lambda m: m.ones(2, requires_grad=True) * 2,
    ):
        y, expected = build(fastconv), build(torch)
        assert y.shape == tuple(expected.shape) and str(y.dtype) == str(expected.dtype).removeprefix("torch.")
        np.testing.assert_array_equal(y.numpy(), expected.detach().numpy())


def test_names_are_those_of_pytorch():
    mine = set(fastconv.functions.__all__) - {"pad", "repeat"}    # torch.nn.functional.pad, Tensor.repeat
    assert {name for name in mine if not hasattr(torch, name)} == set()
    makers = {"arange", "from_numpy", "full", "full_like", "ones", "ones_like", "zeros", "zeros_like", "cat",
              "stack", "where"}
    assert {name for name in mine - makers if not hasattr(fastconv.Tensor, name)} == set()
    assert {name for name in mine - makers if not hasattr(torch.Tensor, name)} == set()
