"""Real Lmod and real Environment Modules, unpacked beside the project, with modules of a test's own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.clusters import packages

SYSTEMS = ("lmod", "tcl")


@dataclass(frozen=True)
class Modules:
    """A site's modules: how shells find the command, and the folder of its module files."""

    system: str
    init: Path
    folder: Path

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which a shell that knows no ``module`` finds it."""
        home = {"lmod": "LMOD_PKG", "tcl": "MODULESHOME"}[self.system]
        return {home: str(self.init.parent), "MODULEPATH": str(self.folder), "LOADEDMODULES": ""}

    @property
    def lines(self) -> str:
        """What a site's /etc/profile.d has for login shells."""
        return f"export MODULEPATH={self.folder}\n. {self.init}/bash\n"

    def add(self, name: str, **variables: str) -> None:
        """Make a module that sets variables."""
        path = self.folder / (f"{name}.lua" if self.system == "lmod" else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.system == "lmod":
            lines = [f'setenv("{key}", "{value}")' for key, value in variables.items()]
        else:
            lines = ["#%Module", *(f"setenv {key} {{{value}}}" for key, value in variables.items())]
        path.write_text("\n".join(lines) + "\n")


def modules(system: str, folder: Path) -> Modules:
    """A module system with an empty folder of modules. Raises MissingError where it is not installed."""
    share = packages.component("modules") / "usr/share"
    init = {"lmod": share / "lmod/lmod/init", "tcl": share / "modules/init"}[system]
    folder.mkdir(parents=True)
    return Modules(system, init, folder)
