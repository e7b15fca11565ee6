"""`python -m payments …`, the same as the `payments` command of the image."""

from __future__ import annotations

import sys

from payments.cli import main

sys.exit(main())
