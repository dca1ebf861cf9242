"""The native core: problems, plans and execution. See csrc/fastconv.h for the contracts.

Every array argument must already have passed the gate in fastconv/ops/_check.py: an ndarray of native byte
order, float32 or float64, aligned to its item size, with the shape the plan expects. Strides may be anything.
"""

from typing import Any, Literal, final

from numpy import ndarray

Array = ndarray[Any, Any]
Triple = tuple[int, int, int]
Pass = Literal["forward", "backward_data", "backward_weights"]

@final
class Blocked:
    """Images in the native layout, (N, C / 16, spatial..., 16), C-contiguous; C is a multiple of 16.

    ConvPlan takes and fills it wherever it takes an array of images, unless a group's channels would begin within a
    block (groups must be 1, or have multiples of 16 channels, or have one channel each and no multiplier).
    """
    def __init__(self, array: Array) -> None: ...
    @property
    def array(self) -> Array: ...
    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, spatial...)."""
    @property
    def dtype(self) -> Any: ...
    @property
    def ndim(self) -> int: ...
    @property
    def size(self) -> int: ...
    def plain(self) -> Array:
        """The same images as an array (N, C, spatial...)."""

def block(x: Array, channels_last: bool = False) -> Blocked:
    """An array (N, C, spatial...), or with the channels last, in the native layout."""

def empty_blocked(shape: tuple[int, ...], dtype: Any) -> Blocked:
    """Uninitialised images (N, C, spatial...) in the native layout; C is a multiple of 16."""

Images = Array | Blocked

@final
class ConvPlan:
    """One convolution problem and one pass over it: everything decided, nothing allocated.

    Spatial tuples always have three axes (depth, height, width); a 2-D problem has a leading 1
    (stride 1, dilation 1, padding 0). Raises ValueError for an impossible problem or where the named
    algorithm does not apply (the message gives the reason), OverflowError where a size exceeds int64. Only the
    border "zeros" has a pass backward_data.
    """
    def __init__(
        self, pass_: Pass, dtype: str, batch: int, in_channels: int, out_channels: int, groups: int,
        input_size: Triple, kernel_size: Triple, stride: Triple, dilation: Triple,
        pad_lo: Triple, pad_hi: Triple, algorithm: str = "auto", strict: bool = False, border: str = "zeros",
    ) -> None: ...
    @property
    def output_size(self) -> Triple: ...
    @property
    def algorithm(self) -> str:
        """"direct", "im2col" or "winograd"."""
    @property
    def variant(self) -> str:
        """What exactly runs: "F(4x4,3x3)", "depthwise", "blocked"..."""
    @property
    def reason(self) -> str:
        """Why this algorithm, in one clause."""
    @property
    def seconds(self) -> float:
        """Predicted time on one thread, the weights packed. Predictions are for ranking: their scale is rough."""
    @property
    def multiply_accumulates(self) -> int: ...
    @property
    def workspace_bytes(self) -> int:
        """Scratch memory of one thread."""
    @property
    def packed_bytes(self) -> int: ...
    @property
    def packing(self) -> tuple[Any, ...]:
        """A key that is equal for plans which the same packed weights serve."""
    def pack(self, weight: Array, bias: Array | None = None, copy: bool = True) -> PackedWeights:
        """Weights and bias in the order this plan's kernels read.

        Winograd reads the weights themselves, too, where an output is not finite: without a copy they must stay as
        they are.
        """
    def forward(
        self, x: Images, weight: Array | PackedWeights, bias: Array | None, out: Images, channels_last: bool,
        relu: bool = False,
    ) -> None:
        """out[:] = convolution, or max(0, convolution) (every element is written; out overlaps no input)."""
    def backward_data(
        self, grad_output: Images, weight: Array | PackedWeights, out: Images, channels_last: bool
    ) -> None:
        """out[:] = gradient with respect to x."""
    def backward_weights(self, grad_output: Images, x: Images, out: Array, channels_last: bool) -> None:
        """out[:] = gradient with respect to the weights (OIHW, C-contiguous)."""

@final
class PackedWeights:
    """Made by ConvPlan.pack; serves every plan with the same pass, algorithm, level, dtype, channels, kernel, stride
    and dilation, whatever its batch, input size and padding. Another plan raises ValueError saying what differs."""
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> Any: ...
    @property
    def nbytes(self) -> int: ...

def sum_channels(grad_output: Images, out: Array, channels_last: bool) -> None:
    """out[k] = sum of grad_output over every axis but the channels: the gradient of a bias."""

@final
class PoolPlan:
    """One pooling problem (kind "max" or "avg"), forward and backward. Spatial tuples as in ConvPlan.

    divisor 0 means "the window's size". Raises ValueError / OverflowError as ConvPlan.
    """
    def __init__(
        self, kind: Literal["max", "avg"], dtype: str, batch: int, channels: int, input_size: Triple,
        kernel_size: Triple, stride: Triple, dilation: Triple, pad_lo: Triple, pad_hi: Triple,
        ceil_mode: bool = False, count_include_pad: bool = True, divisor: int = 0,
    ) -> None: ...
    @property
    def output_size(self) -> Triple: ...
    @property
    def workspace_bytes(self) -> int:
        """Scratch memory of one thread, for either pass."""
    @property
    def has_codes(self) -> bool:
        """Whether maxima can be given as codes: windows without dilation, of at most 256 taps."""
    def forward(self, x: Images, out: Images, indices: Images | None, channels_last: bool) -> None:
        """indices, if given, has out's shape: int64, the flat position (h*W + w) of each maximum, or uint8, its code.

        The code of a maximum is the number of its tap in the window, row by row, taps outside of x counted.
        All arrays are plain, or all are Blocked.
        """
    def backward(self, grad_output: Images, out: Images, channels_last: bool) -> None:
        """out[:] = gradient with respect to the input; kind "avg" only."""
    def backward_codes(self, grad_output: Images, codes: Images, out: Images, channels_last: bool) -> None:
        """out[:] = gradient with respect to the input, from the codes of forward; kind "max" only."""

def scatter_planes(grad_output: Images, indices: Images, out: Images, channels_last: bool) -> bool:
    """Backward of max pooling: out = 0, then out[n, c].flat[indices] += grad_output, in row-major order.

    Returns False, with out untouched, if an index lies outside its plane.
    """

def empty(shape: tuple[int, ...], dtype: Any) -> Array:
    """np.empty(shape, dtype), whose memory may come from and go back to what is kept for later calls."""

def scratch_bytes() -> int:
    """Memory that is kept for the scratch buffers and results of later calls."""

def free_scratch() -> None:
    """Give it back to the system."""

def act(
    name: str, out: Array, a: Array, b: Array | None = None, p: float = 0.0, q: float = 0.0
) -> None:
    """Element by element, in the order of memory: the arrays have no gaps and store their elements in the same order.

    name: of an operation of fc_act in csrc/fastconv.h, without FC_, in lower case. out may be a or b.
    """

def sgd(
    p: Array, g: Array, v: Array | None, rate: float, decay: float, momentum: float, gain: float, nesterov: bool,
    ascend: bool,
) -> None:
    """One step of gradient descent, in place, on C-contiguous arrays of one dtype; see fc_update in csrc/fastconv.h."""

def adam(
    p: Array, g: Array, m: Array, v: Array, largest: Array | None, rate: float, decay: float, keep: float,
    betas: tuple[float, float], root: float, eps: float, ascend: bool,
) -> None:
    """One step of Adam, likewise."""

def rmsprop(
    p: Array, g: Array, v: Array, m: Array | None, a: Array | None, rate: float, decay: float, alpha: float,
    momentum: float, eps: float, ascend: bool,
) -> None:
    """One step of RMSprop, likewise."""

def adagrad(p: Array, g: Array, v: Array, rate: float, decay: float, eps: float, ascend: bool) -> None:
    """One step of Adagrad, likewise."""

@final
class Norm:
    """Batch normalisation of x per channel, and its gradients; max(0, that) with relu.

    weight, bias: None, or C values of x's dtype; mean, var: C float64, written by forward where from_batch. In the
    native layout C may be less than x has: the other channels of the last block are padding and become 0.
    """
    def __init__(
        self, x: Images, weight: Array | None, bias: Array | None, mean: Array, var: Array, eps: float,
        from_batch: bool, relu: bool, channels_last: bool,
    ) -> None: ...
    def forward(self, out: Images | None) -> None:
        """None: the statistics only."""
    def backward(self, grad_output: Images, out: Images | None, dweight: Array | None, dbias: Array | None) -> None:
        """out, dweight, dbias (float64) = the gradients; None: not wanted. from_batch needs dweight and dbias."""

def isa() -> str:
    """Name of the active instruction-set level."""

def set_isa(name: str) -> None:
    """Force a level; ValueError for an unknown or unsupported name."""

def isa_levels() -> list[tuple[str, bool]]:
    """(name, whether this CPU has it) from the best level to the portable one."""

def get_num_threads() -> int: ...
def set_num_threads(n: int) -> None: ...
def cache_sizes() -> tuple[int, int, int]:
    """Bytes of the first-level data, second- and third-level cache, as the plans assume them."""

def measure_peak(dtype: str, seconds: float = 0.02) -> float:
    """Measured multiply-add rate of one thread on the active level, in FLOP/s."""
