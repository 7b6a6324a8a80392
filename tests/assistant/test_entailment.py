"""The entailment check with a real, tiny classifier, trained here to go by one word of the premise."""

import pytest

from matgen.assistant.backends import BackendConfig, _key
from matgen.assistant.document import Citation, Document, Passage
from matgen.assistant.entailment import Entailment
from matgen.assistant.verification import verify
from matgen.errors import ConfigError

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "film", "is", "dense", "porous", "thick", "and", "."]
LABELS = {0: "contradiction", 1: "neutral", 2: "entailment"}


def build(folder, labels):
    """A small BERT that learns: a premise with "dense" entails, one with "porous" contradicts, any other is neutral."""
    transformers = pytest.importorskip("transformers")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32, id2label=labels, label2id={v: k for k, v in labels.items()},
        hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = transformers.BertForSequenceClassification(config)
    premises = {"dense": 2, "dense and thick": 2, "porous": 0, "porous and thick": 0, "thick": 1}
    claims = ["dense", "thick", "porous and thick", "thick and dense"]
    pairs = [(a, b) for a in premises for b in claims]
    encoded = tokenizer(
        [f"the film is {a} ." for a, _ in pairs],
        [f"the film is {b} ." for _, b in pairs],
        return_tensors="pt",
        padding=True,
    )
    target = torch.tensor([premises[a] for a, _ in pairs])
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(model(**encoded).logits, target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build(tmp_path_factory.mktemp("nli"), LABELS)


def test_what_a_source_entails_stands_and_what_it_contradicts_falls(folder):
    model = Entailment(folder)
    assert model.fault("the film is thick .", ["the film is dense ."]) == ""
    assert "contradicts" in model.fault("the film is thick .", ["the film is porous ."])
    assert "no sentence of the source entails" in model.fault("the film is thick .", ["the film is thick ."])
    assert model.fault("the film is dense .", []) == "there is no source"
    assert model.probabilities(["the film is dense ."], "the film is thick .").shape == (1, 2)


@pytest.mark.parametrize(("word", "why"), [("dense", ""), ("porous", "contradicts")])
def test_verification_asks_the_model_only_about_what_is_no_quotation(folder, word, why):
    text = f"the film is {word} and thick ."
    citation = Citation.of(1, Passage(Document("d", "Films", text), 0, len(text)))
    model = Entailment(folder)
    assert verify(f"{text} [1]", [citation], model)[0].reason == ""
    claim = f"the film is thick and {word} . [1]"
    assert verify(claim, [citation])[0].reason == ""
    reason = verify(claim, [citation], model)[0].reason
    assert (why in reason) if why else reason == ""


def test_a_model_without_the_labels_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="labels are"):
        Entailment(build(tmp_path, {0: "good", 1: "bad", 2: "ugly"}))
    with pytest.raises(ConfigError, match="no such model"):
        Entailment(tmp_path / "nowhere")


def test_a_key_comes_from_the_environment_first_and_else_from_the_keyring(monkeypatch):
    keyring = pytest.importorskip("keyring")

    class Memory(keyring.backend.KeyringBackend):
        priority = 1

        def get_password(self, service, username):
            return {("matgen", "MY_KEY"): "from-keyring"}.get((service, username))

        def set_password(self, service, username, password):
            raise NotImplementedError

        def delete_password(self, service, username):
            raise NotImplementedError

    before = keyring.get_keyring()
    keyring.set_keyring(Memory())
    try:
        config = BackendConfig(key_env="MY_KEY", keyring="matgen")
        monkeypatch.delenv("MY_KEY", raising=False)
        assert _key(config) == "from-keyring"
        monkeypatch.setenv("MY_KEY", "from-environment")
        assert _key(config) == "from-environment"
    finally:
        keyring.set_keyring(before)
