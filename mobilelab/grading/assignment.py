"""An exercise as it lies in its folder: what is handed out, what is kept back, who gets what.

A folder below ``exercises/`` holds ``solution.ipynb`` (the one source), the student's notebook that
:mod:`mobilelab.grading.release` makes from it, ``checks.py`` (``EXERCISE`` and the public cases,
handed out) and ``hidden.py`` (one function per task, kept back).
"""

from __future__ import annotations

import ast
import hashlib
import hmac
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from mobilelab.core.errors import MissingRuntimeError, MobileLabError
from mobilelab.grading import trivial
from mobilelab.grading.notebook import ONE_AT_A_TIME
from mobilelab.grading.serialize import same_name
from mobilelab.grading.tasks import Case, Draw, Exercise, Facts, Run, Task

#: Files of an exercise that are never handed out, and never enter the sandbox.
KEPT_BACK = {"solution.ipynb", "hidden.py"}
#: How many drawings of the hidden cases tell what a trivial answer reaches.
DRAWS = 5
#: Modules whose change may change a grade: they are part of the key of every result.
_JUDGES = (
    "tasks", "comparison", "questions", "serialize", "run_model", "run_notebook", "shell",
    "oracle", "schema", "scorer", "notebook", "trivial",
)  # fmt: skip


class ExerciseError(MobileLabError):
    """An exercise's folder is incomplete or its modules do not fit together."""


class Assignment:
    """An exercise, loaded.

    Args:
        name: the folder's name, ``03_quantization``.
        files: file name to content, of the whole folder.
        hidden: ``False`` leaves out what is kept back, as a student has it: no case gives points.

    Raises:
        ExerciseError: if something is missing.
    """

    def __init__(self, name: str, files: Mapping[str, bytes], hidden: bool = True) -> None:
        self.name, self.files = name, dict(files)
        self.complete = hidden
        if not hidden:
            self.files["hidden.py"] = b""
        for needed in ("checks.py", "hidden.py"):
            if needed not in self.files:
                raise ExerciseError(
                    f"{name} has no {needed}; docs/instructor.md says what is in it."
                )
        self._public: dict[tuple, list[Case]] = {}
        self._digests: dict[str, str] = {}
        self._guessing: dict[tuple, float] = {}
        mark = hashlib.sha256(b"".join(self.files[k] for k in sorted(self.files))).hexdigest()[:16]
        package = f"_exercise_{mark}"
        holder = ModuleType(package)
        holder.__path__ = []
        sys.modules[package] = holder
        self.checks = self._module(package, "checks")
        self.hidden = self._module(package, "hidden")
        exercise = getattr(self.checks, "EXERCISE", None)
        if not isinstance(exercise, Exercise):
            raise ExerciseError(f"{name}/checks.py does not define EXERCISE, an Exercise.")
        self.exercise = exercise
        for task in self.exercise.tasks:
            if not hidden:
                setattr(self.hidden, task.key, _no_cases)
            if not callable(getattr(self.hidden, task.key, None)):
                raise ExerciseError(f"{name}/hidden.py has no function {task.key} for that task.")

    @classmethod
    def load(cls, folder: str | Path, hidden: bool = True) -> Assignment:
        """Read an exercise's folder.

        Raises:
            ExerciseError: if it is none.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise ExerciseError(
                f"There is no folder {folder}; exercises/ holds one per assignment."
            )
        files = {
            path.name: path.read_bytes()
            for path in sorted(folder.iterdir())
            if path.is_file() and not path.name.startswith(".")
        }
        return cls(folder.resolve().name, files, hidden)

    def _module(self, package: str, name: str) -> ModuleType:
        source = self.files[f"{name}.py"]
        spec = importlib.util.spec_from_loader(f"{package}.{name}", loader=None)
        assert spec is not None  # there is one for every name
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        setattr(sys.modules[package], name, module)
        exec(compile(source, f"{self.name}/{name}.py", "exec"), module.__dict__)
        return module

    @property
    def handed_out(self) -> dict[str, bytes]:
        """The files that a student has beside the notebook."""
        return {
            name: content
            for name, content in self.files.items()
            if name not in KEPT_BACK and not name.endswith(".ipynb")
        }

    def require(self) -> None:
        """Look for the runtimes that the exercise needs, without importing them.

        Raises:
            MissingRuntimeError: if one is not installed.
        """
        for name in self.exercise.runtimes:
            if importlib.util.find_spec(name) is None:
                raise MissingRuntimeError(
                    f"{self.exercise.title} needs {name}, which is not installed here; make "
                    "runtimes in the course's folder brings it (without make: pip install -c "
                    f"constraints.txt -e '.[{name}]')."
                )

    # --- who gets what --------------------------------------------------------------------

    def parameters(self, secret: bytes | None, student: str) -> dict[str, Any]:
        """A student's parameters: the defaults without a class secret.

        Each follows from the secret, the exercise, the student and its own name, so adding a
        parameter changes no other.
        """
        return {
            name: options[self._number(secret, student, name) % len(options) if secret else 0]
            for name, options in self.exercise.parameters.items()
        }

    def cases(
        self, task: Task, parameters: Mapping[str, Any], secret: bytes, student: str
    ) -> tuple[list[Case], list[Case]]:
        """The public and the hidden cases of a task for a student."""
        space = SimpleNamespace(**parameters)
        draw = Draw(self._number(secret, student, f"hidden inputs of {task.key}"))
        known = (task.key, *sorted(parameters.items()))
        with ONE_AT_A_TIME:
            if known not in self._public:
                if len(self._public) > 200:
                    self._public.clear()
                self._public[known] = task.public(space)
            return self._public[known], getattr(self.hidden, task.key)(space, draw)

    def guessing(self, task: Task, parameters: Mapping[str, Any]) -> float:
        """What a trivial answer to a task reaches (:func:`mobilelab.grading.trivial.share`).

        Of hidden cases that are nobody's, so that it is the same for everybody with the same
        values of the parameters that the task uses, whoever is graded first.
        """
        defaults = {name: options[0] for name, options in self.exercise.parameters.items()}
        parameters = {**defaults, **{name: parameters[name] for name in task.uses}}
        known = (task.key, *sorted(parameters.items()))
        if known not in self._guessing:
            if len(self._guessing) > 1000:
                self._guessing.clear()
            shares = []
            for draw in range(DRAWS):  # a small answer is right by luck now and then
                public, hidden = self.cases(task, parameters, b"nobody", f"nobody {draw}")
                shares.append(trivial.share(public, hidden))
                if all(isinstance(case.ask, (Facts, Run)) for case in hidden):
                    break  # a network is not right by luck
            self._guessing[known] = max(shares)
        return self._guessing[known]

    def _number(self, secret: bytes, student: str, what: str) -> int:
        message = "\0".join((self.name, same_name(student), what)).encode()
        return int.from_bytes(hmac.new(secret, message, "sha256").digest()[:8], "big")

    # --- what has changed ------------------------------------------------------------------

    def digest(self, task: Task) -> str:
        """A fingerprint of everything that judges this task.

        It covers the task, its cases, whatever they use of ``checks.py`` and ``hidden.py``, the
        files handed out, the parameters, the limits and the grader's own judging modules, but no
        comments and no layout. Another task's check is not part of it.
        """
        if task.key not in self._digests:
            with ONE_AT_A_TIME:
                parts = [self._common, *self._used_by(task)]
            self._digests[task.key] = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:24]
        return self._digests[task.key]

    @cached_property
    def _common(self) -> str:
        here = Path(__file__).parent
        judges = [ast.dump(ast.parse((here / f"{name}.py").read_bytes())) for name in _JUDGES]
        exercise = self.exercise
        others = {n: c for n, c in self.handed_out.items() if n != "checks.py"}
        facts = [
            json.dumps({k: repr(v) for k, v in exercise.parameters.items()}, sort_keys=True),
            json.dumps(asdict(exercise.limits), sort_keys=True),
            *(hashlib.sha256(others[name]).hexdigest() for name in sorted(others)),
        ]
        return hashlib.sha256("\n".join(judges + facts).encode()).hexdigest()

    def _used_by(self, task: Task) -> list[str]:
        """The definitions that a task's cases reach, as syntax trees."""
        defined: dict[str, ast.stmt] = {}
        for name in ("checks.py", "hidden.py"):
            for statement in ast.parse(self.files[name]).body:
                for target in _names_of(statement):
                    # a name may stand in both files; then both count
                    defined[f"{name}:{target}"] = statement
        start = [task.public, getattr(self.hidden, task.key)]
        wanted = [f.__name__ for f in start if isinstance(f, Callable)]
        seen: dict[str, str] = {}
        while wanted:
            name = wanted.pop()
            for file in ("checks.py", "hidden.py"):
                key = f"{file}:{name}"
                if key in defined and key not in seen:
                    seen[key] = ast.dump(defined[key])
                    wanted += [
                        node.id if isinstance(node, ast.Name) else node.attr
                        for node in ast.walk(defined[key])
                        if isinstance(node, (ast.Name, ast.Attribute))
                    ]
        own = [task.key, task.title, repr(task.points), repr(task.names), repr(task.uses)]
        return own + [f"{key} {seen[key]}" for key in sorted(seen) if key != "checks.py:EXERCISE"]


def _no_cases(p: SimpleNamespace, draw: Draw) -> list[Case]:
    return []


def _names_of(statement: ast.stmt) -> list[str]:
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        nodes = [node for target in statement.targets for node in ast.walk(target)]
        return [node.id for node in nodes if isinstance(node, ast.Name)]
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    return []
