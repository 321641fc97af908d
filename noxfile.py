"""What `.ci/run` does, piece by piece, and what takes longer: `nox -l` lists the sessions, `nox -s lint` runs one."""

from __future__ import annotations

import nox

nox.needs_version = ">=2024.10"
nox.options.sessions = ["lint", "tests"]
nox.options.default_venv_backend = "venv"
nox.options.reuse_existing_virtualenvs = True

OPENCV = ("5.0.0.93", "4.14.0.94", "4.10.0.84", "4.8.1.78")
FLAVOURS = ("opencv-contrib-python-headless", "opencv-python-headless")
EXTRAS = "headless,video,tiff,geo,dask,watch,plot,serve"
PARALLEL = ("-n", "auto", "--dist", "loadfile")  # the tests of a file share what they have made
PYPROJECT = nox.project.load_toml("pyproject.toml")


def install_group(session: nox.Session, group: str) -> None:
    """Install a dependency group of pyproject.toml; pip's own --group needs a pip that fresh environments lack."""
    session.install(*PYPROJECT["dependency-groups"][group])


@nox.session
@nox.parametrize("flavour", FLAVOURS)
@nox.parametrize("opencv", OPENCV)
def tests(session: nox.Session, opencv: str, flavour: str) -> None:
    """Run the tests on one OpenCV: nox -s "tests(opencv='4.14.0.94', flavour='opencv-python-headless')" -- -k tiles."""
    numpy = ["numpy<2"] if opencv.startswith(("4.8", "4.9")) else []  # built against numpy 1
    install_group(session, "test")
    session.install(f"{flavour}=={opencv}", *numpy, ".")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and the direction of imports."""
    install_group(session, "lint")
    session.install(".[headless]")
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("pyright")
    session.run("pyright", "-p", "converters")
    session.run("lint-imports")


@nox.session
def conformance(session: nox.Session) -> None:
    """Run one wheel on every OpenCV, in environments that are kept (CVSR_VENVS, default ~/.cache/cvsr-tests/venvs)."""
    install_group(session, "test")
    session.install(".[headless]")
    session.run("python", "-m", "pytest", "-m", "conformance", *PARALLEL, *session.posargs)


@nox.session
def extras(session: nox.Session) -> None:
    """Run the tests that need more than OpenCV: films, stacks, maps, clusters, pages, the notebook."""
    for group in ("test", "pages", "notebook"):
        install_group(session, group)
    session.install(f".[{EXTRAS}]")
    wanted = "extras and not conformance and not long"
    session.run("python", "-m", "pytest", "-m", wanted, *PARALLEL, "--ignore=tests/converters", *session.posargs)


@nox.session
def long(session: nox.Session) -> None:
    """Run the proofs of which `.ci/run` has a shorter form, and those that need a quiet machine."""
    install_group(session, "test")
    session.install(f".[{EXTRAS}]")
    session.run("python", "-m", "pytest", "-m", "long", *session.posargs)
    conformance = ("python", "-m", "pytest", "-m", "conformance", *PARALLEL, "tests/conformance")
    session.run(*conformance, *session.posargs, env={"CVSR_LONG": "1"})


@nox.session
def converters(session: nox.Session) -> None:
    """Run the tests that need TensorFlow, with a training recipe of a few steps."""
    install_group(session, "test")
    install_group(session, "plot")
    session.install(".[headless,convert]")
    session.run("python", "-m", "pytest", *PARALLEL, "tests/converters", *session.posargs)


@nox.session
def build(session: nox.Session) -> None:
    """Build the wheel and the sdist into dist/."""
    session.install("build")
    session.run("python", "-m", "build")
