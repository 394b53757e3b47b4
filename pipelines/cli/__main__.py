"""``python -m pipelines.cli`` is ``fuse-then``."""

import sys

from pipelines.cli.app import main

sys.exit(main())
