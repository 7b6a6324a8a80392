"""``python -m matgen`` is the ``matgen`` command."""

from matgen.cli import main

main()
