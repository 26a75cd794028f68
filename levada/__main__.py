"""`python -m levada`: the command `levada`."""

from levada.twin.cli.main import main

main()
