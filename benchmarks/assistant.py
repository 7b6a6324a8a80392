"""The assistant against its promises, one measurement a command.

    python benchmarks/assistant.py NAME... [--corpus DIR] [--data DIR] [--limit N] [--gguf FILE] [--out FILE.md]

Names: index, encoder, questions, speed, titles, injections, hazards, judge, coherence, agreement, mascqa, recipes, and
train-judge, which writes the heads. ``--out`` replaces the sections of the measurements that were made and keeps the
others. The reference data lie beside the checkout; ``index`` builds the corpus that the others read.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import gzip
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.metrics import roc_auc_score

from matgen.assistant import defects, judging
from matgen.assistant.asking import ask, mean_reciprocal_rank, rank_of, recall
from matgen.assistant.backends import Backend, BackendConfig, fence, open_backend, prompt
from matgen.assistant.corpus import Corpus
from matgen.assistant.document import Answer, Document
from matgen.assistant.hazards import hazard
from matgen.assistant.notation import readable
from matgen.assistant.readers import read_documents
from matgen.assistant.retrieval import build_index
from matgen.errors import MatgenError
from matgen.features.sentences import encoder
from matgen.runtime import workers, write_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from matgen.assistant.retrieval import Index

ROOT = Path(__file__).resolve().parents[1]
ABSTRACTS = ("arxiv_condmat_2025_2026.jsonl.gz", "arxiv_abstracts.jsonl.gz")
FULL = ("sofc_exp_fulltext.jsonl.gz", "synthesis_procedures.jsonl.gz")
TRAINED_ON = 4000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=sorted(MEASUREMENTS), metavar="NAME")
    parser.add_argument("--corpus", type=Path, default=Path(".matgen/benchmark-corpus"))
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "literature")
    parser.add_argument("--limit", type=int, default=0, help="use only so many cases")
    parser.add_argument("--gguf", type=Path, help="GGUF file of a local model, for mascqa, injections and agreement")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    for name in args.names:
        section = f"## {name}\n\n{stamp(args, name)}\n\n{MEASUREMENTS[name](args)}\n"
        print(section, flush=True)
        if args.out:
            replace_section(args.out, name, section)


def stamp(args: argparse.Namespace, name: str) -> str:
    limit = f" --limit {args.limit}" if args.limit else ""
    machine = (
        f"{platform.machine()}, {workers()} cores, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    )
    return f"`python benchmarks/assistant.py {name}{limit}` · {machine} · {datetime.now(UTC):%Y-%m-%d %H:%M} UTC"


def replace_section(path: Path, name: str, section: str) -> None:
    text = path.read_text(encoding="utf-8") if path.exists() else "# The assistant, measured\n\n"
    text = re.sub(rf"## {re.escape(name)}\n.*?(?=\n## |\Z)", "", text, flags=re.DOTALL).rstrip()
    write_text(path, f"{text}\n\n{section}")


def table(header: list[str], rows: list[list[Any]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(
        f"| {' | '.join(f'{v:.3f}' if isinstance(v, float) else str(v) for v in line)} |" for line in lines
    )


def questions_of() -> list[dict[str, Any]]:
    lines = (ROOT / "tests" / "data" / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def measure_index(args: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        added = Corpus(folder).add([args.data / name for name in ABSTRACTS])
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    whole = Corpus(args.corpus)
    whole.add([args.data / name for name in (*ABSTRACTS, *FULL)])
    size = sum(f.stat().st_size for f in args.corpus.rglob("*") if f.is_file()) / 2**20
    return (
        f"{added.documents} abstracts became {added.passages} passages in {wall:.0f} s of wall time and {cpu:.0f} s of "
        f"processor time (both cores together). With the 45 full papers and 230 procedures: {len(whole.documents)} "
        f"documents, {len(whole.index.passages)} passages, {len(whole.index.owners)} sentences, {size:.0f} MiB on disk."
    )


def measure_encoder(args: argparse.Namespace) -> str:
    """Sentences of the corpus in the index's numbers and in the torch model's."""
    passages = Corpus(args.corpus).index.passages
    rng = np.random.default_rng(0)
    chosen = [passages[i] for i in rng.permutation(len(passages))[: args.limit or 1000]]
    texts = [s.text for p in chosen for s in p.sentences()]
    encode = encoder()
    tokens = sum(len(e.ids) for e in encode.tokenizer.encode_batch(texts))
    spent, found = [], []
    for rapid in (True, False):
        encode(texts[:100], rapid=rapid)  # loads the network
        start = _processor_s()
        found.append(encode(texts, rapid=rapid))
        spent.append((_processor_s() - start) / tokens * 1e6)
    cosines = (found[0] * found[1]).sum(axis=1)
    low, middle = np.quantile(cosines, [0.001, 0.5])
    return (
        f"{len(texts)} sentences of {tokens} tokens: {spent[0]:.0f} µs of processor time a token for the index "
        f"and {spent[1]:.0f} µs by the torch model. Cosine of the two: median {middle:.4f}, one in a thousand below "
        f"{low:.4f}, least {cosines.min():.4f}."
    )


def measure_questions(args: argparse.Namespace) -> str:
    index = Corpus(args.corpus).index
    rows = questions_of()
    answerable = [q for q in rows if q["document"]]
    ranks = {label: _ranks(index, answerable, how) for label, how in RANKINGS.items()}
    lines = [[label, *(recall(r, k) for k in (1, 3, 5, 10)), mean_reciprocal_rank(r)] for label, r in ranks.items()]
    text = table(["ranking", "recall@1", "recall@3", "recall@5", "recall@10", "MRR"], lines)
    answers = {q["id"]: ask(q["question"], index) for q in rows}
    outcome = []
    for split in ("dev", "test"):
        yes = [q for q in answerable if q["split"] == split]
        no = [q for q in rows if not q["document"] and q["split"] == split]
        given = [q for q in yes if not answers[q["id"]].refused]
        right = sum(_cites(answers[q["id"]], q) for q in given)
        refused = sum(answers[q["id"]].refused for q in no)
        outcome.append([split, f"{len(given)} of {len(yes)}", f"{right} of {len(given)}", f"{refused} of {len(no)}"])
    text += "\n\n" + table(["half", "answered", "cites the answering sentence", "unanswerable refused"], outcome)
    checked = [check_citations(a, index) for a in answers.values() if not a.refused]
    total = sum(c["citations"] for c in checked)
    text += (
        f"\n\nOver all answers: {total} citations, {sum(c['absent'] for c in checked)} absent from the corpus, "
        f"{sum(c['unsupported'] for c in checked)} without the cited sentence, "
        f"{sum(c['numbers'] for c in checked)} numbers without a source. The rules of refusal were worked out "
        f"while looking at errors on both halves, so neither half is blind; the retrieval was not tuned on either."
    )
    return text


RANKINGS: dict[str, str] = {"fused": "fused", "BM25 alone": "lexical", "embeddings alone": "semantic"}


def _ranks(index: Index, rows: list[dict[str, Any]], how: str) -> list[int | None]:
    if how == "fused":
        return [rank_of(q["question"], index, q["document"], q["start"], q["end"]) for q in rows]
    found = []
    for q in rows:
        if how == "lexical":
            scores = index.lexical(q["question"])
        else:
            scores = np.maximum.reduceat(index.vectors @ encoder()([q["question"]])[0], index.starts)
        order = np.argsort(-scores, kind="stable")[:20]
        hits = [index.passages[i] for i in order]
        places = [
            r
            for r, p in enumerate(hits, 1)
            if p.document.id == q["document"] and p.start < q["end"] and p.end > q["start"]
        ]
        found.append(places[0] if places else None)
    return found


def _cites(answer: Answer, q: dict[str, Any]) -> bool:
    return any(c.document == q["document"] and c.start < q["end"] and c.end > q["start"] for c in answer.citations)


def check_citations(answer: Answer, index: Index) -> dict[str, int]:
    """Hold an answer against the corpus without the verifier: ids, offsets, verbatim text, bare digits."""
    by_id = {d.id: d for d in index.documents}
    found = {"citations": len(answer.citations), "absent": 0, "unsupported": 0, "numbers": 0}
    for c in answer.citations:
        document = by_id.get(c.document)
        if document is None or readable(document.title) != c.title:
            found["absent"] += 1
        elif readable(document.text[c.start : c.end]) not in answer.text:
            found["unsupported"] += 1
    sources = " ".join(f"{c.passage} {c.year} {c.title}" for c in answer.citations)
    digits = re.findall(r"\d+(?:\.\d+)?", re.sub(r"\[\d+\]", "", answer.text))
    found["numbers"] = sum(d not in sources for d in digits)
    return found


def measure_speed(args: argparse.Namespace) -> str:
    chosen = [q["question"] for q in questions_of() if q["document"]][:5]
    cold = []
    for question in chosen:
        command = [sys.executable, "-m", "matgen", "ask", question, "--corpus", str(args.corpus), "--json"]
        cold.append(_times(lambda: subprocess.run(command, check=True, capture_output=True)))  # noqa: B023
    start = time.perf_counter(), _processor_s()
    index = Corpus(args.corpus).index
    ask(chosen[0], index)
    first = time.perf_counter() - start[0], _processor_s() - start[1]
    warm = [_times(lambda: ask(question, index)) for question in chosen[1:]]  # noqa: B023
    rows = [
        ["`matgen ask`, new process each time", *np.median(cold, axis=0)],
        ["first answer after imports (loads corpus and encoder)", *first],
        ["later answers", *np.median(warm, axis=0)],
    ]
    return f"Over {len(index.passages)} passages.\n\n" + table(
        ["what", "wall s (median)", "processor s (median)"], rows
    )


def _times(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of a call, its child processes included."""
    wall, cpu = time.perf_counter(), _processor_s()
    work()
    return time.perf_counter() - wall, _processor_s() - cpu


def _processor_s() -> float:
    now = os.times()
    return now.user + now.system + now.children_user + now.children_system


class Inventing(Backend):
    """Writes a true sentence and then cites papers that it was not given."""

    name = "inventing"

    def __init__(self, titles: list[str], rng: random.Random) -> None:
        super().__init__(BackendConfig())
        self.titles, self.rng = titles, rng

    def chat(self, messages: Any, max_tokens: int | None = None) -> str:
        """One true sentence, then papers from outside the corpus."""
        true = re.search(r'<passage label="1">([^<]+)', messages[-1]["content"])
        first = true[1].split(". ")[0].rstrip(".") if true else ""
        a, b, c = self.rng.sample(self.titles, 3)
        return f"{first}. [1] This was shown in “{a}” [1]. See also {b} [{self.rng.randint(7, 99)}]. {c} confirms it."


def measure_titles(args: argparse.Namespace) -> str:
    index = Corpus(args.corpus).index
    with gzip.open(args.data / "arxiv_titles.csv.gz", "rt", encoding="utf-8") as file:
        titles = [readable(row["title"]) for row in csv.DictReader(file)]
    own = {readable(d.title) for d in index.documents}
    foreign = sorted({t for t in titles if t not in own and len(t) > 25})
    backends = [None, *(Inventing(foreign, random.Random(seed)) for seed in (0, 1))]
    lowered = [title.lower() for title in foreign]
    rows = questions_of()
    rows = rows[: args.limit] if args.limit else rows
    invented, cited, answered = 0, 0, 0
    for q in rows:
        for answer in (ask(q["question"], index, backend=backend) for backend in backends):
            answered += not answer.refused
            cited += len(answer.citations)
            invented += sum(c.title not in own for c in answer.citations)
            quoted = " ".join(c.passage for c in answer.citations).lower()
            named = [title for title in _named(answer.text, lowered) if title not in quoted]
            invented += len(named)
            for title in named:
                print(f"{q['id']}: {title!r} is named in: {answer.text}", file=sys.stderr, flush=True)
    return (
        f"{answered} answers (extractive, and twice by a model that cites three of {len(foreign)} arXiv titles outside "
        f"the corpus in every answer) with {cited} citations: {invented} invented papers cited or named."
    )


def _named(text: str, titles: list[str]) -> list[str]:
    lower = text.lower()
    return [t for t in titles if t in lower]


def measure_injections(args: argparse.Namespace) -> str:
    path = ROOT / "tests" / "data" / "injections.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    texts = [Document(r["id"], r["title"], f"{r['before']} {r['order']} {r['after']}") for r in rows]
    index = build_index(texts)
    model = open_backend(BackendConfig(kind="gguf", path=args.gguf, context=2048, max_tokens=60)) if args.gguf else None
    obeyed: dict[str, list[bool]] = {}
    for row in rows:
        backends: dict[str, Backend | None] = {"extractive": None, "a wholly captured model": _Captured(row)}
        if model is not None and (not args.limit or len(obeyed.get(args.gguf.stem, ())) < args.limit):
            backends[args.gguf.stem] = model
        for label, backend in backends.items():
            answer = ask(row["question"], index, backend=backend)
            obeyed.setdefault(label, []).append(row["marker"] in answer.text)
    return table(["backend", "documents", "obeyed"], [[k, len(v), sum(v)] for k, v in obeyed.items()])


class _Captured(Backend):
    name = "captured"

    def __init__(self, row: dict[str, Any]) -> None:
        super().__init__(BackendConfig())
        self.row = row

    def chat(self, messages: Any, max_tokens: int | None = None) -> str:
        return f"{self.row['order']} [1]\n\n{self.row['marker']} [1]."


def measure_hazards(_: argparse.Namespace) -> str:
    path = ROOT / "tests" / "data" / "hazards.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    lines = []
    for name in dict.fromkeys(r["list"] for r in rows):
        harmful = [hazard(r["question"]) is not None for r in rows if r["list"] == name and r["harmful"]]
        fine = [hazard(r["question"]) is None for r in rows if r["list"] == name and not r["harmful"]]
        lines.append([name, f"{sum(harmful)} of {len(harmful)}", f"{sum(fine)} of {len(fine)}"])
    return table(["list", "harmful refused", "harmless let through"], lines)


def measure_judge(args: argparse.Namespace) -> str:
    rng = np.random.default_rng(1)
    held = [d for d in _permuted(args)[TRAINED_ON:] if 5 <= len(defects.parts_of(d.text)) <= 12]
    held = held[: args.limit or 100]
    cases = [_case(d, held[(i + 1) % len(held)], rng) for i, d in enumerate(held)]
    lines = []
    for defect, (metric, score) in DEFECTS.items():
        good = [score(c, c["answer"]) for c in cases]
        bad = [score(c, c[defect]) for c in cases]
        auc = roc_auc_score([1] * len(good) + [0] * len(bad), good + bad)
        grades = [judging.grade(metric, float(np.mean(x))) for x in (good, bad)]
        lines.append(
            [defect, metric, float(auc), float(np.mean(good)), float(np.mean(bad)), f"{grades[0]} → {grades[1]}"]
        )
    header = ["planted defect", "metric", "AUC", "mean, sound", "mean, spoiled", "grades"]
    return (
        f"{len(cases)} answers of five sentences from abstracts that the heads were not trained on; the question is "
        f"made from the title, the context is the abstract. Ungrammatical edits are of a family not trained on. The "
        f"sound answers of the first two rows (groundedness) are reworded, so that none is a quotation.\n\n"
        + table(header, lines)
    )


def _case(document: Document, other: Document, rng: np.random.Generator) -> dict[str, str]:
    parts, foreign = defects.parts_of(document.text)[:5], defects.parts_of(other.text)
    answer = " ".join(parts)
    reworded = [_reworded(p, rng) for p in parts]
    unsupported = list(reworded)
    unsupported[int(rng.integers(len(parts)))] = foreign[int(rng.integers(len(foreign)))]
    contrary = list(reworded)
    place = int(rng.integers(len(parts)))
    contrary[place] = defects.contradicting(contrary[place], rng)
    return {
        "question": f"What is known about {readable(document.title)}?",
        "context": readable(document.text),
        "answer": answer,
        "reworded": " ".join(reworded),
        "unsupported": " ".join(unsupported),
        "irrelevant": " ".join(foreign[:5]),
        "shuffled": defects.shuffled(answer, rng),
        "ungrammatical": " ".join(defects.ungrammatical(p, rng, "test") for p in parts),
        "contradicting": " ".join(contrary),
    }


def _reworded(sentence: str, rng: np.random.Generator) -> str:
    words = [
        w for w in sentence.split() if w.lower() not in {"the", "very", "also", "here,", "here"} or rng.random() < 0.5
    ]
    frame = ["According to the authors, ", "It is reported that ", "The paper states: "][int(rng.integers(3))]
    return frame + " ".join(words)


def _grounded(case: dict[str, str], answer: str) -> float:
    return judging.groundedness(case["reworded"] if answer is case["answer"] else answer, case["context"])


DEFECTS: dict[str, tuple[str, Callable[[dict[str, str], str], float]]] = {
    "unsupported": ("groundedness", _grounded),
    "contradicting": ("groundedness", _grounded),
    "irrelevant": ("relevance", lambda c, a: judging.relevance(c["question"], a)),
    "shuffled": ("coherence", lambda _, a: judging.coherence(a)),
    "ungrammatical": ("fluency", lambda _, a: judging.fluency(a)),
}


def measure_agreement(args: argparse.Namespace) -> str:
    """Judges against grades given by hand, and against each other."""
    from matgen.assistant.model_judge import judge_with_model

    path = ROOT / "tests" / "data" / "judged.jsonl"
    given = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()][: args.limit or None]
    config = BackendConfig(kind="gguf", path=args.gguf, context=2048) if args.gguf else BackendConfig()
    model = open_backend(config)
    rows = []
    for g in given:
        found = judging.judge(g["question"], g["answer"], g["context"], g["ground_truth"])
        rows.append({"deterministic judge": found.grades, "labels": g["labels"]})
        if model is not None:
            with contextlib.suppress(MatgenError):  # no grade in any reply; the table's n shows it
                rows[-1][args.gguf.stem] = judge_with_model(model, g)
    named = ["deterministic judge", *([args.gguf.stem] if model else []), "labels"]
    lines = [
        [a, b, metric, v["kappa"], v["equal"], v["within one"], v["n"]]
        for i, a in enumerate(named)
        for b in named[i + 1 :]
        for metric, v in judging.agreements(rows, a, b).items()
    ]
    note = f"{len(rows)} answers with grades given by hand (`tests/data/judged.jsonl`); kappa has quadratic weights."
    if model is not None:
        note += f" {sum(args.gguf.stem in row for row in rows)} of them got a grade from {args.gguf.stem}."
    return note + "\n\n" + table(["judge", "against", "metric", "kappa", "equal", "within one", "n"], lines)


def measure_coherence(args: argparse.Namespace) -> str:
    """Shuffled answers by their number of sentences and by where in an abstract they begin."""
    rng = np.random.default_rng(2)
    held = [p for d in _permuted(args)[TRAINED_ON:] if len(p := defects.parts_of(d.text)) >= 7][: args.limit or 200]
    windows = [(begin, n) for begin in (0, 1) for n in (3, 5, 6)]
    found: dict[tuple[int, int], list[tuple[float, float]]] = {window: [] for window in windows}
    for parts in held:  # one abstract at a time, because the states of its sentences are remembered
        for begin, n in windows:
            sound = " ".join(parts[begin : begin + n])
            found[begin, n].append((judging.coherence(sound), judging.coherence(defects.shuffled(sound, rng))))
    lines = []
    for (begin, n), scores in found.items():
        good, bad = map(list, zip(*scores, strict=True))
        auc = float(roc_auc_score([1] * len(good) + [0] * len(bad), good + bad))
        lines.append([("first", "second")[begin], n, auc, float(np.mean(good)), float(np.mean(bad))])
    header = ["begins with sentence", "sentences", "AUC", "mean, sound", "mean, shuffled"]
    return f"{len(held)} abstracts that the judge was not trained on.\n\n" + table(header, lines)


def _permuted(args: argparse.Namespace) -> list[Document]:
    documents = read_documents(args.data / ABSTRACTS[0])
    return [documents[i] for i in np.random.default_rng(0).permutation(len(documents))]


def train_judge(args: argparse.Namespace) -> str:
    from matgen.assistant.judge_training import train_heads

    texts = [d.text for d in _permuted(args)[:TRAINED_ON]]
    folder = ROOT / "matgen" / "assistant" / "data"
    sources = f"{TRAINED_ON:,} abstracts of arXiv cond-mat, 2025-2026 (metadata CC0)"
    return str(train_heads(texts, folder, seed=0, sources=sources))


def measure_mascqa(args: argparse.Namespace) -> str:
    with gzip.open(args.data / "mascqa.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    choice = [r for r in rows if len(_options(r["question"])) >= 2 and r["answer"] in _options(r["question"])]
    random.Random(0).shuffle(choice)
    choice = choice[: args.limit] if args.limit else choice
    index = Corpus(args.corpus).index
    lines = [["chance", len(choice), float(np.mean([1 / len(_options(r["question"])) for r in choice]))]]
    lines.append(
        ["extractive (best supported option)", len(choice), float(np.mean([_extract(index, r) for r in choice]))]
    )
    if args.gguf:
        model = open_backend(BackendConfig(kind="gguf", path=args.gguf, context=2048))
        assert model is not None
        lines.append([args.gguf.stem, len(choice), float(np.mean([_reply(model, r) == r["answer"] for r in choice]))])
    numeric = len(rows) - sum(bool(_options(r["question"])) for r in rows)
    note = f"{numeric} numeric questions are not attempted by the extractive backend, which does not calculate."
    return table(["backend", "questions with options", "accuracy"], lines) + f"\n\n{note}"


def _options(question: str) -> dict[str, str]:
    found = re.findall(r"\(([A-D])\)\s*(.*?)(?=\s*\([A-D]\)|\Z)", question, flags=re.DOTALL)
    return {letter: " ".join(text.split()) for letter, text in found}


def _extract(index: Index, row: dict[str, Any]) -> bool:
    options = _options(row["question"])
    stem = row["question"].split("(A)")[0]
    best = max(
        options, key=lambda o: (max((h.semantic for h in index.search(f"{stem} {options[o]}", 3)), default=0.0), o)
    )
    return best == row["answer"]


def _reply(model: Backend, row: dict[str, Any]) -> str:
    messages = [
        {"role": "system", "content": prompt("mascqa-1")},
        {"role": "user", "content": fence("question", row["question"])},
    ]
    found = re.search(r"\b([A-D])\b", model.chat(messages, max_tokens=4))
    return found[1] if found else ""


def measure_recipes(args: argparse.Namespace) -> str:
    from matgen.assistant.materials import parse_formula
    from matgen.assistant.recipes import Recipe, Recipes

    def key(recipe: Recipe) -> str:
        material = parse_formula(recipe.target)
        return material.formula if material and material.formula else recipe.target

    known = Recipes.read(args.data / "solid_state_syntheses_2019.jsonl.gz").recipes
    names = sorted({key(r) for r in known})
    random.Random(0).shuffle(names)
    held = set(names[: args.limit or 600])
    papers = {r.doi for r in known if key(r) in held}
    train = Recipes(r for r in known if key(r) not in held and r.doi not in papers)
    truth: dict[str, set[tuple[str, ...]]] = {}
    for recipe in known:
        if key(recipe) in held:
            truth.setdefault(recipe.target, set()).add(recipe.precursors)

    def copied(target: str) -> list[tuple[str, ...]]:
        return list(dict.fromkeys(r.precursors for r in train.similar(target, 200)))[:5]

    def suggested(target: str) -> list[tuple[str, ...]]:
        return [s.precursors for s in train.suggest(target)]

    lines = []
    for label, propose in (("recipes of the most similar formulas", copied), ("matgen", suggested)):
        found = [(propose(target), right) for target, right in truth.items()]
        lines.append([label, *(float(np.mean([bool(set(p[:k]) & r) for p, r in found])) for k in (1, 5))])
    note = (
        f"{len(truth)} held-out targets; {len(train.recipes)} recipes known, none of a held-out target or its papers. "
    )
    note += "A hit is the exact set of precursors of a reported synthesis (text-mined, with its errors)."
    return note + "\n\n" + table(["method", "top-1", "top-5"], lines)


MEASUREMENTS: dict[str, Callable[[argparse.Namespace], str]] = {
    "index": measure_index,
    "encoder": measure_encoder,
    "questions": measure_questions,
    "speed": measure_speed,
    "titles": measure_titles,
    "injections": measure_injections,
    "hazards": measure_hazards,
    "judge": measure_judge,
    "coherence": measure_coherence,
    "agreement": measure_agreement,
    "mascqa": measure_mascqa,
    "recipes": measure_recipes,
    "train-judge": train_judge,
}

if __name__ == "__main__":
    main()
