"""``python -m singerid``, for launchers such as torchrun."""

import sys

from singerid.cli import main

sys.exit(main())
