"""`python -m ganzoo`, also the form that torchrun starts."""

from ganzoo.cli import main

if __name__ == "__main__":
    main()
