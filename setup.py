"""Builds the native core: one static library for each instruction-set level, and the Cython module that links them.

A level is one row of ISA_FLAGS. Flags never depend on the CPU of the build machine; the level is chosen at import.
"""

import os
import platform
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

CFLAGS = [
    "-O3", "-std=gnu11", "-g0", "-fno-asynchronous-unwind-tables", "-pthread", "-fPIC", "-fvisibility=hidden",
    "-Wall", "-Wextra", "-Wconversion", "-Wshadow",
]
X86 = platform.machine().lower() in {"x86_64", "amd64"}
# The kernels are unrolled by hand: -O2 makes them as fast as -O3, and a tenth smaller. The portable ones are for
# processors of before 2013: there half of the size counts for more. -Os costs AVX2 3 to 5 %, for a wheel below 1 MB.
ISA_FLAGS = {"portable": ["-Os"] if X86 else []}
if X86:
    ISA_FLAGS["avx2"] = ["-Os", "-mavx2", "-mfma"]
    ISA_FLAGS["avx512"] = [
        "-O2", "-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mavx2", "-mfma", "-mprefer-vector-width=512",
    ]
    CFLAGS.append("-DFC_X86")

HEADERS = sorted(glob("csrc/**/*.h", recursive=True))
CORE = sorted(set(glob("csrc/**/*.c", recursive=True)) - set(glob("csrc/isa/*.c")))


def library(name: str, sources: list[str], flags: list[str]) -> tuple[str, dict[str, object]]:
    """A static library all of whose objects are rebuilt when a header changes."""
    return name, {
        "sources": sources,
        "include_dirs": ["csrc"],
        "cflags": CFLAGS + flags,
        "obj_deps": {"": HEADERS},
    }


# FASTCONV_CFLAGS and FASTCONV_LDFLAGS come last: sanitizers and coverage, see docs/.
EXTRA_CFLAGS = os.environ.get("FASTCONV_CFLAGS", "").split()
EXTRA_LDFLAGS = os.environ.get("FASTCONV_LDFLAGS", "").split()
LIBRARIES = [library("fc_core", CORE, EXTRA_CFLAGS)] + [
    library(f"fc_{isa}", [f"csrc/isa/kernels_{isa}.c"], flags + EXTRA_CFLAGS) for isa, flags in ISA_FLAGS.items()
]
EXTENSION = Extension(
    "fastconv._core",
    ["fastconv/_core.pyx"],
    include_dirs=["csrc"],
    depends=HEADERS + CORE + sorted(glob("csrc/isa/*.c")),
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    extra_compile_args=["-Os", "-g0", "-fvisibility=hidden", "-fno-asynchronous-unwind-tables", *EXTRA_CFLAGS],
    extra_link_args=["-pthread", "-lm", "-Wl,-s", *EXTRA_LDFLAGS],
    py_limited_api=True,
)

setup(
    libraries=LIBRARIES,
    ext_modules=cythonize([EXTENSION], language_level=3),
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
