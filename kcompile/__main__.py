"""`python -m kcompile`."""

from kcompile.cli import main

if __name__ == "__main__":
    main()
