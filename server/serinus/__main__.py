"""`python -m serinus` is `serinus`."""

from serinus.cli.main import main

if __name__ == "__main__":
    main()
