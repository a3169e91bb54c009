"""The answers of one autograd class to the exam, and what a report says of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from ..diagnosis.reporting import Alternative, Convention, Part, PartFinding, PartsReport
from ..diagnosis.running import exam as running
from ..diagnosis.running.calls import Outcome
from ..text import number
from .mistakes import BY_CODE, CATEGORIES
from .operations import OPERATIONS, written
from .programs import DEEP, Program, exam
from .replay import Build
from .search import (
    Answer,
    Result,
    Search,
    differs,
    exchanged,
    odd_forms,
    runnable,
    truth,
)
from .wording import PLAIN, Texts, as_written, chain_rule, letters, ratio, rules, support

_UNSUPPORTED = ("AssertionError", "NotImplementedError", "TypeError")
_NOT_WITH_NUMBERS = (*_UNSUPPORTED, "AttributeError")
_MOST_UNKNOWN = 3
"""If more operations are wrong, and nobody knows why, it is one finding: what they share."""
_GENERAL = {
    "order": "the order of the pass",
    "twice": "one pass after another",
    "zero": "zero_grad",
    "deep": f"a chain of {DEEP} nodes",
}
"""The parts that are not operations."""


def bare(code: str, where: str, **more: Any) -> PartFinding:
    """Return the finding of a row as it stands."""
    row = BY_CODE[code]
    return PartFinding(code, row.says, row.fix, about=CATEGORIES[row.category], where=where, **more)


@lru_cache(maxsize=64)
def _build_of(offer: str) -> Build:
    """Return how an engine is put together; the same object for engines that are alike."""
    offers, formulas, same, zero = json.loads(offer)
    return runnable(Build(frozenset(offers), formulas, same, bool(zero)))


class Examination:
    """The answers of one class, and what is said of them."""

    def __init__(
        self, offer: dict[str, Any], outcomes: Sequence[Outcome], name: str, class_name: str
    ) -> None:
        self._offer = offer
        self._name, self._class = name, class_name
        self._answers: list[Answer] = []
        self._unsteady: list[tuple[Answer, list[float]]] = []
        for program, outcome in zip(exam(), outcomes, strict=False):
            if outcome.evidence == running.MISSING:
                continue
            read = None
            if outcome.tree is not None and not isinstance(outcome.tree, list):
                read = tuple(map(float, outcome.tree))
            answer = Answer(program, read, "" if read else outcome.evidence)
            self._answers.append(answer)
            if outcome.evidence.startswith(running.AGAIN):
                again = json.loads(outcome.evidence[len(running.AGAIN) :])
                self._unsteady.append((answer, again))
        self._died = len(outcomes) < len(exam()) or (
            bool(outcomes) and outcomes[-1].code in ("call.dies", "call.too-slow")
        )
        self._end = outcomes[-1] if self._died and outcomes else Outcome()
        self._build = _build_of(
            json.dumps([offer[key] for key in ("offers", "formulas", "same", "zero")])
        )
        self._odd = odd_forms(self._build)

    def report(self) -> PartsReport:
        """Return what is said of the class."""
        findings = list(self._refusals())
        result = Result()
        findings += self._made_wrong()
        if self._unsteady:
            findings.append(self._not_repeatable())
        else:
            result = Search(self._build, self._answers).run()
            result = _credible(result)
            findings += self._found(result)
            unknown = list(self._unknown(result))
            if len(unknown) > _MOST_UNKNOWN:
                unknown = [self._said("unknown.several", [], result.unexplained)]
            findings += unknown
        findings += self._limits(result)
        findings.sort(key=lambda finding: finding.category == "limit")
        return PartsReport(
            self._name,
            self._subject(),
            tuple(findings),
            tuple(self._conventions()),
            tuple(self._parts(result)),
        )

    # --- what was looked at ---

    def _subject(self) -> str:
        offer = self._offer
        methods = len({offer["names"][form] for form in offer["offers"]})
        return (
            f"a class with {methods} operations, tried in {len(self._answers)} programs: "
            f".{offer['data']}, .{offer['grad']}, .{offer['backward']}()"
        )

    def _conventions(self) -> Iterator[Convention]:
        offer = self._offer
        if offer["constructor"] != "Value(2.0)":
            yield Convention("constructor", f"a node is made as by {offer['constructor']}")
        texts = []
        for name, operation in OPERATIONS.items():
            for kinds in ("VV", "VN", "NV") if len(operation.partials) == 2 else ("V",):
                form = f"{name}:{kinds}"
                if form not in offer["offers"] and not self._is_fault(form):
                    texts.append(as_written(form))
        if texts:
            yield Convention("missing", f"not there, and not tried: {', '.join(texts)}")
        if not offer["zero"]:
            yield Convention("zero", "there is no zero_grad; gradients were set by assignment")

    def _is_fault(self, form: str) -> bool:
        """Whether a form that gave no node is a mistake, and not just missing."""
        refused = self._offer["refused"].get(form, "")
        if not refused or form in self._offer["follows"]:
            return bool(refused)
        allowed = _UNSUPPORTED[:2] if form in PLAIN else _NOT_WITH_NUMBERS
        return not refused.startswith(tuple(f"raises {name}" for name in allowed))

    def _refusals(self) -> Iterator[PartFinding]:
        by_method: dict[str, list[str]] = {}
        for form in self._offer["refused"]:
            if self._is_fault(form) and form not in self._offer["follows"]:
                by_method.setdefault(self._offer["names"][form], []).append(form)
        for forms in by_method.values():
            refused = self._offer["refused"][forms[0]]
            code = "call.raises"
            if refused.startswith("returns"):
                code = "nodes.none-returned" if refused == "returns None" else "nodes.no-node"
            method = self._method(forms)
            row = BY_CODE[code]
            yield PartFinding(
                code,
                about=CATEGORIES[row.category],
                where=self._where(forms),
                says=row.says.format(method=method),
                fix=row.fix,
                evidence=f"{as_written(forms[0])} {refused}",
            )

    def _made_wrong(self) -> Iterator[PartFinding]:
        """Say which operations are made of others, and not of the right ones."""
        by_method: dict[tuple[str, str], list[str]] = {}
        for form in sorted(self._odd, key=lambda form: form.endswith("NV")):
            code = "value.operands-exchanged" if exchanged(self._build, form) else (
                "value.of-other-operation"
            )  # fmt: skip
            by_method.setdefault((code, self._method([form])), []).append(form)
        for (code, _), forms in by_method.items():
            form = forms[0]
            row, texts = BY_CODE[code], self._texts(forms, None)
            wrong = [answer for answer in self._answers
                     if answer.program.form == form and not answer.is_right]  # fmt: skip
            if wrong:
                yield PartFinding(
                    code,
                    about=CATEGORIES[row.category],
                    where=self._where(forms),
                    says=texts.put(row.says),
                    fix=texts.put(row.fix),
                    here=self._here(wrong),
                    evidence=f"{as_written(form)} is computed as {self._formula_text(form)}.",
                )

    def _formula_text(self, form: str) -> str:
        named = dict(zip(("first", "second"), letters(form), strict=False))
        if form in self._build.same:
            return written(form, [named["second"], named["first"]])
        texts: list[str] = []

        def operand(kind: str, *rest: Any) -> str:
            if kind == "step":
                return f"({texts[rest[0]]})"
            if kind in ("number", "node"):
                return number(rest[0])
            how, _, which = kind.rpartition(" ")
            return {"minus": "-", "one over": "1/"}.get(how, "") + named[which]

        for called, *operands in self._build.formulas[form]:
            texts.append(written(f"{called}:", [operand(*one) for one in operands]))
        return texts[-1]

    def _not_repeatable(self) -> PartFinding:
        answer, again = self._unsteady[0]
        assert answer.read is not None
        lines = [answer.program.text(self._class)]
        for place, (one, two) in enumerate(zip(answer.read, again, strict=True)):
            if one != two and not (math.isnan(one) and math.isnan(two)):
                should = truth(answer.program)[place]
                lines.append(
                    f"{self._read_name(answer.program, place)} is {number(one)}, and "
                    f"{number(two)} in another run; expected {number(should)}"
                )
        return bare(
            "nodes.not-repeatable",
            self._class,
            here="\n".join(lines),
            evidence=f"{len(self._unsteady)} programs gave other numbers when run again.",
            confidence="partial",
        )

    # --- findings ---

    def _found(self, result: Result) -> Iterator[PartFinding]:
        for explanation in result.found:
            plant = explanation.plants[0]
            row = BY_CODE[plant.code]
            others = {other.code: other for other in explanation.plants if other.code != plant.code}
            alternatives = tuple(
                Alternative(
                    (code,),
                    self._texts(other.forms, other.place).put(BY_CODE[code].says),
                    "Both give these numbers in every program that was run: read the code.",
                )
                for code, other in others.items()
            )
            confidence = "one of several" if alternatives else "certain"
            if result.unexplained:
                confidence = "partial"
            texts = self._texts(plant.forms, plant.place)
            yield PartFinding(
                plant.code,
                about=CATEGORIES[row.category],
                where=self._where(plant.forms) if plant.forms else self._whole(row.category),
                says=texts.put(row.says),
                fix=texts.put(row.fix),
                formula=chain_rule(plant.forms, row.category),
                here=self._here(explanation.answers),
                evidence=support(explanation),
                confidence=confidence,
                alternatives=alternatives,
            )

    def _unknown(self, result: Result) -> Iterator[PartFinding]:
        raised = [answer for answer in result.unexplained if answer.read is None]
        if raised and all(_refuses_again(answer) for answer in raised):
            yield bare(
                "limit.one-pass",
                self._whole("twice"),
                here=raised[0].program.text(self._class),
                evidence=raised[0].raised,
            )
        elif raised:
            plainest = raised[0]
            every = len(raised) == len(self._answers)
            yield bare(
                "call.pass-raises",
                self._class if every or not plainest.program.form else
                self._where([plainest.program.form]),
                here=plainest.program.text(self._class),
                evidence=plainest.raised,
                confidence="certain",
            )  # fmt: skip
            if every:
                return
        wrong = [answer for answer in result.unexplained if answer.read is not None]
        seen: set[str] = set()
        own = self._build.own()
        for plain in (True, False):  # first what is wrong alone: the rest may follow from it
            for form in sorted(
                dict.fromkeys(answer.program.form for answer in wrong),
                key=lambda form: form not in own,
            ):
                mine = [
                    answer
                    for answer in wrong
                    if answer.program.form == form
                    and (answer.program.about == "alone" or not plain)
                    and not self._made_in(answer.program) & seen
                ]
                if form and mine:
                    seen |= {other for other in own | {form}
                             if self._method([other]) == self._method([form])}  # fmt: skip
                    value = any(place == 0 for place, _, _ in differs(mine[0]))
                    alone = "unknown.value" if value else "unknown.slope"
                    yield self._said(alone if plain else "unknown.passing", [form], mine)
        for code, abouts in (
            ("unknown.sweep", ("order", "equal", "leaf")),
            ("unknown.twice", ("twice", "zero")),
        ):
            mine = [answer for answer in wrong if answer.program.about in abouts]
            if mine and not seen:
                yield self._said(code, [], mine)

    def _said(self, code: str, forms: Sequence[str], answers: Sequence[Answer]) -> PartFinding:
        row, texts = BY_CODE[code], self._texts(forms, None)
        return PartFinding(
            code,
            about=CATEGORIES[row.category],
            where=self._where(forms) if forms else self._whole(row.category),
            says=texts.put(row.says),
            fix=texts.put(row.fix),
            formula=rules(forms),
            here=self._here(answers),
            evidence=ratio(answers),
            confidence="partial",
        )

    def _limits(self, result: Result) -> Iterator[PartFinding]:
        wrong = {answer.program.form for answer in self._answers if not answer.is_right
                 and answer.program.about not in ("extreme", "deep")}  # fmt: skip
        for answer in self._answers:
            about = answer.program.about
            if about == "extreme" and answer.program.form not in wrong and not answer.is_right:
                row, texts = BY_CODE["limit.overflow"], self._texts([answer.program.form], None)
                yield PartFinding(
                    row.code,
                    about=CATEGORIES["limit"],
                    where=self._where([answer.program.form]),
                    says=texts.put(row.says),
                    fix=row.fix,
                    here=self._here([answer]),
                    evidence=answer.raised,
                )
            if about == "deep" and answer.read is None and "Recursion" in answer.raised:
                yield bare(
                    "limit.recursion",
                    self._whole("sweep"),
                    here=answer.program.text(self._class),
                    evidence=answer.raised,
                )
            elif about == "deep" and not answer.is_right and not result.found and not wrong:
                yield self._said("unknown.sweep", [], [answer])
        if self._died:
            yield bare("call.dies", self._class, evidence=self._end.evidence)

    # --- words ---

    def _parts(self, result: Result) -> Iterator[Part]:
        blamed = {form for found in result.found for form in found.plants[0].forms} | self._odd
        explained = {answer.program for found in result.found for answer in found.answers}
        by_part: dict[str, list[Answer]] = {}
        for answer in self._answers:
            program = answer.program
            if program.about == "extreme":
                continue
            part = as_written(program.form) if program.form else _GENERAL.get(program.about, "")
            by_part.setdefault(part or _GENERAL["order"], []).append(answer)
        for part, answers in by_part.items():
            wrong = [answer for answer in answers if not answer.is_right]
            says = "right"
            if wrong:
                form = wrong[0].program.form
                follows = form and form not in blamed and all(
                    answer.program in explained for answer in wrong
                )  # fmt: skip
                says = "follows from another" if follows and blamed else "wrong"
                if wrong[0].program.about == "deep" and wrong[0].read is None:
                    says = "fails"
            yield Part(part, not wrong, says)
        for form, refused in self._offer["refused"].items():
            if self._is_fault(form):
                yield Part(as_written(form), False, refused.partition("\n")[0])

    def _made_in(self, program: Program) -> frozenset[str]:
        return program.needs.union(*(self._build.uses(form) for form in program.needs))

    def _method(self, forms: Iterable[str]) -> str:
        names = dict.fromkeys(self._offer["names"].get(form, form) for form in sorted(forms))
        return " and ".join(names)

    def _where(self, forms: Iterable[str]) -> str:
        shown = ", ".join(as_written(form) for form in sorted(forms, reverse=True))
        return f"{self._class}.{self._method(forms)}: {shown}"

    def _whole(self, category: str) -> str:
        if category == "zero":
            return f"{self._class}.{self._offer['zero']}"
        return f"{self._class}.{self._offer['backward']}" if category in (
            "sweep", "twice", "limit", "unknown"
        ) else f"{self._class}, everywhere"  # fmt: skip

    def _texts(self, forms: Iterable[str], place: int | None) -> Texts:
        forms = list(forms)
        if not forms:
            return Texts("it", zero=self._offer["zero"] or "zero_grad")
        two = len(OPERATIONS[forms[0].partition(":")[0]].partials) == 2
        operand = "its operand"
        if two:
            operand = "each operand" if place is None else ("a", "b")[place]
        return Texts(self._method(forms), operand, rules(forms))

    def _here(self, answers: Sequence[Answer]) -> str:
        answer = min(answers, key=lambda one: (one.read is None, len(one.program.steps)))
        lines = [answer.program.text(self._class)]
        for place, read, should in differs(answer):
            name = self._read_name(answer.program, place)
            lines.append(f"{name} is {number(read)}, expected {number(should)}")
        if answer.read is None and answer.raised:
            lines.append(answer.raised.partition("\n")[0])
        return "\n".join(lines)

    def _read_name(self, program: Program, place: int) -> str:
        if place:
            return f"{program.leaves()[place - 1]}.{self._offer['grad']}"
        return f"y.{self._offer['data']}"


def _refuses_again(answer: Answer) -> bool:
    """Whether a second pass was refused on purpose, as PyTorch does, and did not just fail."""
    return answer.program.about in ("twice", "zero") and answer.raised.startswith("RuntimeError")


def _credible(result: Result) -> Result:
    """Take back names that leave most unexplained, or their own operation: they lead astray."""
    bare = {answer.program.form for answer in result.unexplained if answer.program.about == "alone"}
    kept = [one for one in result.found if not one.plants[0].forms & bare]
    if len(result.unexplained) > sum(len(one.answers) for one in kept):
        kept = []
    lost = [answer for one in result.found if one not in kept for answer in one.answers]
    order = {program: place for place, program in enumerate(exam())}
    unexplained = sorted([*lost, *result.unexplained], key=lambda answer: order[answer.program])
    return Result(kept, unexplained)
