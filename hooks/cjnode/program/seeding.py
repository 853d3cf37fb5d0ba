"""Random numbers that depend on the task's seed alone: Python's, NumPy's and PyTorch's."""

import hashlib
import random
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Dict, Optional


def sow(seed: int, libraries: Optional[int] = None) -> None:
    """Seed every generator that is loaded, and those that will be when they are imported.

    ``libraries`` seeds the libraries' own generators instead, until ``sow_again``.
    """
    _HOOK.seed = seed
    _HOOK.planted = seed if libraries is None else libraries
    _HOOK.entropy = 0
    if _HOOK not in sys.meta_path:
        sys.meta_path.insert(0, _HOOK)
    _plant_all()


def sow_again() -> None:
    """Seed the libraries' own generators with the seed of ``sow``; what stands for entropy goes on."""
    _HOOK.planted = _HOOK.seed
    _plant_all()


def has_asked_for_entropy() -> bool:
    """Whether NumPy was asked for a generator without a seed since ``sow``."""
    return bool(_HOOK.entropy)


def _plant_all() -> None:
    random.seed(_HOOK.planted)
    for name, plant in _PLANTS.items():
        module = sys.modules.get(name)
        if module is not None:
            plant(module, _HOOK.planted)


def _plant_numpy(numpy_random: Any, seed: int) -> None:
    numpy_random.seed(seed & 0xFFFFFFFF)
    bit_generator: Any = getattr(numpy_random, "bit_generator", None)
    if hasattr(bit_generator, "randbits"):  # older than 1.17, there is no default_rng
        bit_generator.randbits = _randbits


def _randbits(bits: int) -> int:
    """Stands for the operating system's entropy, so that an unseeded default_rng() repeats."""
    _HOOK.entropy += 1
    words = "cj-entropy-1:%d:%d" % (_HOOK.seed, _HOOK.entropy)
    digest = hashlib.shake_256(words.encode("ascii")).digest((bits + 7) // 8)
    return int.from_bytes(digest, "big") >> (-bits % 8)


def _plant_torch(torch: Any, seed: int) -> None:
    torch.manual_seed(seed)


_PLANTS: Dict[str, Callable[[Any, int], None]] = {"numpy.random": _plant_numpy, "torch": _plant_torch}


class _ImportHook:
    """Lets the other finders find a library, and seeds it when it has been loaded."""

    def __init__(self) -> None:
        self.seed = 0
        self.planted = 0  # in the libraries' own generators
        self.entropy = 0  # how often NumPy asked for the system's

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        if name not in _PLANTS:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec: Optional[ModuleSpec] = find(name, path, target) if finder is not self and find else None
            if spec is not None:
                if spec.loader is not None and hasattr(spec.loader, "exec_module"):
                    spec.loader = _SeedingLoader(spec.loader)  # type: ignore[assignment]
                return spec
        return None


class _SeedingLoader:
    """A loader that plants the seed after the real one, and then leaves the module to that one."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)

    def create_module(self, spec: ModuleSpec) -> Optional[ModuleType]:
        module: Optional[ModuleType] = self.real.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__loader__ = self.real
        if module.__spec__ is not None:
            module.__spec__.loader = self.real
        self.real.exec_module(module)
        _PLANTS[module.__name__](module, _HOOK.planted)


_HOOK: Any = _ImportHook()
