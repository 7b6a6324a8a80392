"""Ranking by real, tiny models of the BERT family: one trained here to prefer a word, one with random weights."""

import json

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from matgen.assistant.backends import BackendConfig, read_config
from matgen.assistant.document import Document
from matgen.assistant.knowledge import open_index
from matgen.assistant.ranking import Ranker
from matgen.assistant.retrieval import build_index
from matgen.errors import ConfigError

transformers = pytest.importorskip("transformers")

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "what",
    "is",
    "known",
    "of",
    "the",
    "film",
    "dense",
    "porous",
    "thick",
    "and",
]
TEXTS = ("the film is porous", "the film is thick and porous", "the film is dense", "the film is thick")
QUESTION = "what is known of the film"


def tokenizer():
    inner = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1", [("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=inner, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )


def settings(**more):
    return transformers.BertConfig(
        vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=32, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, **more,
    )  # fmt: skip


@pytest.fixture(scope="module")
def crossing(tmp_path_factory):
    """A cross-encoder that learns: a passage answers if it says "dense"."""
    folder, tokens = tmp_path_factory.mktemp("cross"), tokenizer()
    tokens.save_pretrained(folder)
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(settings(num_labels=1))
    pairs = tokens([QUESTION] * len(TEXTS), list(TEXTS), return_tensors="pt", padding=True)
    target = torch.tensor([float("dense" in text) for text in TEXTS])
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(60):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(**pairs).logits[:, 0], target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def encoding(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    tokenizer().save_pretrained(folder)
    torch.manual_seed(1)
    transformers.BertModel(settings()).save_pretrained(folder)
    return folder


def test_the_configured_model_orders_what_the_index_found(crossing):
    index = build_index([Document(f"d{i}", "Films", text) for i, text in enumerate(TEXTS)])
    plain = [h.passage.text for h in index.search(QUESTION)]
    index.ranker = Ranker(crossing)
    ranked = [h.passage.text for h in index.search(QUESTION)]
    assert sorted(ranked) == sorted(plain)
    assert ranked[0] == "the film is dense"
    assert index.search(QUESTION, 1)[0].passage.text == "the film is dense"


@pytest.mark.parametrize("first_token", [False, True])
def test_a_sentence_encoder_ranks_by_the_cosine_of_its_pooled_states(encoding, first_token):
    pooling = encoding / "1_Pooling"
    pooling.mkdir(exist_ok=True)
    (pooling / "config.json").write_text(json.dumps({"pooling_mode_cls_token": first_token}))
    model, tokens = transformers.BertModel.from_pretrained(encoding).eval(), tokenizer()

    def vector(text):
        with torch.inference_mode():
            states = model(**tokens(text, return_tensors="pt")).last_hidden_state[0]
        pooled = states[0] if first_token else states.mean(0)
        return pooled / pooled.norm()

    expected = [float(vector(QUESTION) @ vector(text)) for text in TEXTS]
    np.testing.assert_allclose(Ranker(encoding).scores(QUESTION, TEXTS), expected, atol=1e-5)


def test_the_configuration_names_the_folder(crossing, tmp_path):
    (tmp_path / "a.yaml").write_text(f"ranking: {crossing}\n")
    chosen = read_config(tmp_path / "a.yaml")
    assert open_index(tmp_path / "none", chosen.ranking).ranker == Ranker(crossing)
    assert open_index(tmp_path / "none", BackendConfig().ranking).ranker is None


def test_a_folder_without_a_model_and_a_classifier_of_several_labels_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="no such model"):
        Ranker(tmp_path)
    transformers.BertForSequenceClassification(settings(num_labels=3)).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match="3 labels"):
        Ranker(tmp_path)
