"""Records in, pages out. The package is itself callable: ``matgen.report("runs/discover")``."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from matgen.report.records import HasFolder


class _Report(ModuleType):
    """The verb ``report`` and the package of its parts, under one name."""

    def __call__(
        self, source: str | os.PathLike[str] | HasFolder, out: str | os.PathLike[str] | None = None, top: int = 20
    ) -> Path:
        """See :func:`matgen.report.page.report`."""
        from matgen.report.page import report

        return report(source, out, top)


sys.modules[__name__].__class__ = _Report
