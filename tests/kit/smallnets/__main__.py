"""Print what becomes of each small network, as Markdown; arguments are interpreters with an OpenCV of their own."""

import sys

from kit.smallnets import table

sys.stdout.write(table(sys.argv[1:]) + "\n")
