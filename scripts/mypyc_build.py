"""Runs mypyc and the C compiler; scripts/compile.py starts it in a process of its own.

python -m scripts.mypyc_build FOLDER OPTIMIZATION SOURCE...
"""

import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import setuptools
from mypyc.build import mypycify
from setuptools.command.build_ext import build_ext

from kit import compiled


class _Parallel(build_ext):
    """Compiles the files of an extension beside each other, one for each core."""

    def build_extensions(self) -> None:
        compile_some = self.compiler.compile

        def compile_each(sources: Sequence[str], **options: Any) -> list[str]:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                objects = pool.map(lambda one: compile_some([one], **options), sources)
                return [path for paths in objects for path in paths]

        self.compiler.compile = compile_each
        super().build_extensions()


def build(folder: Path, optimization: str, sources: Sequence[str]) -> None:
    """Leave the shared objects in `lib` of the folder, laid out as the sources are."""
    extensions = mypycify(
        ["--config-file", "pyproject.toml", *sources],
        group_name=compiled.LIBRARY.removesuffix("__mypyc"),
        opt_level=optimization,
        debug_level="0",
        multi_file=True,
        target_dir=str(folder / "c"),
    )
    setuptools.setup(
        name="compiled",
        packages=[],
        py_modules=[],
        ext_modules=extensions,
        cmdclass={"build_ext": _Parallel},
        script_args=[
            *("--quiet", "build_ext"),
            *("--build-lib", str(folder / "lib"), "--build-temp", str(folder / "temp")),
        ],
    )


if __name__ == "__main__":
    build(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
