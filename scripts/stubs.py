"""Knows how tender/v1 comes from proto/: `write` regenerates it, `check` compares it byte for byte.

`image` records the contract as released, which `buf breaking` compares every later one with.
"""

import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
IMAGE = PROTO / "tender.binpb"
PACKAGE = Path("tender/v1")
# Well-known types come with grpcio-tools, google/rpc with googleapis-common-protos, beside it.
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
GOOGLEAPIS = Path(grpc_tools.__file__).parent.parent


def write() -> int:
    """Replace every generated file, so that the stubs of a removed proto go with it."""
    with tempfile.TemporaryDirectory() as folder:
        new = _generate(Path(folder))
    for name in _committed().keys() - new.keys():
        (ROOT / PACKAGE / name).unlink()
    for name, content in new.items():
        (ROOT / PACKAGE / name).write_bytes(content)
    print(f"{len(new)} files written to {PACKAGE}")
    return 0


def check() -> int:
    """Compare the committed stubs with fresh ones and name every file that differs."""
    with tempfile.TemporaryDirectory() as folder:
        new = _generate(Path(folder))
    old = _committed()
    differing = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    for name in differing:
        print(f"{PACKAGE / name} differs from what proto/ generates; run `make proto`")
    print(f"{len(new)} generated files compared")
    return 1 if differing else 0


def image() -> int:
    """Take the present contract as the released one; do this with a release, never to go green."""
    _protoc(f"--descriptor_set_out={IMAGE}", "--include_imports")
    print(f"{IMAGE.relative_to(ROOT)} written")
    return 0


def _generate(folder: Path) -> dict[str, bytes]:
    _protoc(f"--python_out={folder}", f"--pyi_out={folder}", f"--grpc_python_out={folder}")
    return {path.name: path.read_bytes() for path in (folder / PACKAGE).iterdir()}


def _committed() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (ROOT / PACKAGE).glob("*_pb2*.py*")}


def _protoc(*outputs: str) -> None:
    protos = sorted(str(path.relative_to(PROTO)) for path in (PROTO / PACKAGE).glob("*.proto"))
    includes = [f"-I{folder}" for folder in (PROTO, WELL_KNOWN, GOOGLEAPIS)]
    status = protoc.main(["protoc", *includes, *outputs, *protos])
    if status != 0:
        sys.exit(status)


COMMANDS = {"write": write, "check": check, "image": image}


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in COMMANDS:
        sys.exit(f"usage: python -m scripts.stubs {{{','.join(COMMANDS)}}}")
    sys.exit(COMMANDS[sys.argv[1]]())
