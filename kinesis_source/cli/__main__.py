"""``python -m kinesis_source.cli``, where the command is not on the path."""

import sys

from kinesis_source.cli.main import main

sys.exit(main())
