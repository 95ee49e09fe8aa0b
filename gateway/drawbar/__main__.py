"""`python -m drawbar`: the command line, with the interpreter that is at hand."""

from drawbar.cli import main

if __name__ == "__main__":
    main()
