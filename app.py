"""Search a collection in the browser: type, subtract, play, edit, go back. Needs requirements-app.txt.

python app.py                                                    # the demo, and the collection that it was trained on
python app.py --model checkpoints/demo --in ~/music --port 7861  # your own
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
from diffgar.app import start


def main() -> None:
    """Serve the app until Ctrl-C."""
    start.run()


if __name__ == "__main__":
    main()
