"""The verb ``cvsr doctor``: check OpenCV, its devices and the models on this machine."""

import argparse
import json

DESCRIPTION = "Check OpenCV, its devices and the models on this machine."
EPILOG = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``cvsr doctor``."""
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def main(args: argparse.Namespace) -> int:
    """Print the report and return the exit code."""
    from cvsr import doctor  # with OpenCV, which --help does not need

    report = doctor.report()
    print(json.dumps(report.to_json(), indent=2) if args.json else report)
    return 0 if report.ok else 3
