"""Content filter: what the assistant does not help with, and documents that try to give orders.

Ordinary handling of hazardous substances (safety, toxicity, detection, disposal, battery and catalyst chemistry)
stays allowed; making explosives, chemical weapons, toxic gases or drugs does not.
"""

from __future__ import annotations

import re
from unicodedata import category, normalize

from matgen.assistant.notation import readable

SUBSTANCES = {
    "explosive": (
        r"explosives?(?! (?:growth|crystalli[sz]ation|evaporation|boiling|nucleation|percolation|yield|energy))|tnt"
        r"|thermite|gun ?powder|nitrocellulose|black powder|bombs?|cl-?20"
    ),
    "high explosive": (
        r"trinitrotoluene|rdx|hexogen|petn|nitroglycerin[e]?|triacetone triperoxide|tatp|hmtd|hmx|octogen|anfo"
        r"|lead azide|silver azide|mercury fulminate|silver fulminate|picric acid|ammonal|pipe bombs?|detonators?"
        r"|ammonium nitrate[^?.]{0,20}fuel oil|blasting caps?|shaped charges?"
    ),
    "chemical weapon": (
        r"sarin|soman|tabun|cyclosarin|vx|novichok|nerve agents?|nerve gas(?:es)?|mustard gas|sulfur mustard|lewisite"
        r"|chemical (?:weapons?|warfare agents?)|blister agents?|ricin|poison(?:ous)? gas(?:es)?|phosgene oxime"
        r"|chemical agents?|tear gas"
    ),
    "toxic gas": (
        r"phosgene|hydrogen cyanide|hcn|cyanogen chloride|arsine|ash3|phosphine|ph3|chlorine gas|hydrogen sulfide gas"
        r"|stibine|nickel carbonyl|nickel tetracarbonyl|ni\(co\)4|chloramine gas|carbon monoxide|diborane"
        r"|toxic gas(?:es)?"
    ),
    "controlled drug": r"(?:meth)?amphetamines?|crystal meth|heroin|fentanyl|cocaine|mdma|lsd|carfentanil",
    "radiological weapon": r"dirty bombs?|nuclear weapons?|weapons[- ]grade|radiological dispersal",
}
MAKING = (
    r"synthesi[sz]e|synthesis|synthetic route|make|making|prepare|preparation|produce|production"
    r"|manufactur\w+|generate"
    r"|recipe|cook|brew|build|construct|route to|procedure|precursors?|how (?:can|do|would|could) (?:i|we"
    r"|one) (?:get|obtain)"
    r"|weaponi[sz]e|step[- ]by[- ]step|instructions|scale up|release|disperse|purify|obtain|assemble|mix"
)
PROTECTING = (
    r"safety|hazard|toxicity|detect\w*|sens(?:e|or|ors|ing)|dispos\w+|neutrali[sz]\w+|decontaminat\w+"
    r"|degrad\w+|captur\w+"
    r"|adsor\w+|remov\w+|avoid|prevent\w*|exposure|limit|protect\w*|oxidation of|abatement|scrub\w*"
    r"|destr\w+|melting point|toxic|structure|spectr\w+|raman|histor\w+|conventions?|banned|treat\w*|velocity"
    r"|sensitivity|density"
)
GIVING = (
    MAKING
    + r"|synthesi[sz]\w*|dispers\w+|spread\w*|extract\w*|purif\w+|nitrat(?:e|ed|ion|ing)|reagents?|yields?|enrich\w*"
    r"|combin\w+|ratio|steps?|stabili[sz]e|ingredients?|amounts? of|buy|order|get|home-?made|improvised|dry(?:ing)?"
    r"|binders?|turn|convert"
)
"""Words of making that would stand in ordinary questions about industrial gases, but not about weapons and drugs."""
DEFYING = r"ignor\w+|regardless of|without|despite|bypass\w*"
_MAKING, _PROTECTING, _GIVING = (
    re.compile(rf"\b(?:{words})\b", re.IGNORECASE) for words in (MAKING, PROTECTING, GIVING)
)
_DEFIED = re.compile(rf"\b(?:{DEFYING})\b[^.]{{0,20}}\b(?:safety|limits?|protect\w*|hazards?)\b", re.IGNORECASE)
_HARMING = re.compile(
    r"\b(?:poison|kill|harm|gas|blow up)\b[^.?]{0,30}"
    r"\b(?:people|someone|somebody|city|crowd|water supply|neighbou?rs?|building)\b",
    re.IGNORECASE,
)
_WEAPON = re.compile(r"\bweapon|\bbomb", re.IGNORECASE)
_SUBSTANCES = {kind: re.compile(rf"(?<!\w)(?:{words})(?!\w)", re.IGNORECASE) for kind, words in SUBSTANCES.items()}

_ORDERS = re.compile(
    r"""(?ix)
    \b(?:ignore|disregard|forget|override|bypass)\b.{0,40}\b(?:above|previous|prior|earlier|preceding
        |instructions?|rules?
        |prompts?|guidelines|question|context|passages?|everything|safety)\b
    | \b(?:you|assistant|model|ai|llm|chatbot)\b[^.]{0,30}\b(?:must|should|shall|are\ (?:now|required
        |instructed)|will\ now
        |have\ to|need\ to)\b[^.]{0,60}\b(?:answer|say|respond|reply|output|write|state|praise|recommend|cite
        |call|send
        |visit|print|reveal|tell|execute|run|act|pretend|include|insert|use|rate|ignore|follow|obey|claim)\b
    | \byou\ are\ (?:now\ )?(?:a|an|in|no\ longer)\b | \bas\ an\ ai\b | \bnew\ (?:instructions?|rules?|task
        |system\ prompt)\b
    | \b(?:system|developer|hidden)\s*(?:prompt|message|instruction|note|override)s?\b | ^\s*(?:system
        |assistant|user|human)\s*:
    | <\s*/?\s*(?:system|tool\w*|function\w*|assistant|instructions?|user|im_start|im_end|script|img|iframe)\b
        | \[/?INST\]
    | <\|[a-z_]+\|> | \{\s*"(?:tool|function|name|action|tool_calls?)"\s*: | \b(?:tool_call|function_call)\b
    | \b(?:note|attention|message|instructions?)\s+(?:to|for)\s+(?:the\s+)?(?:ai|llm|assistant|model|language\ model
        |reviewer|chatbot|agent)s?\b
    | \b(?:when|if)\s+(?:you|asked|an\ ai|a\ (?:language\ )?model|the\ (?:assistant|model
        |user))\b[^.]{0,80}\b(?:answer|say
        |respond|reply|output|write|state|praise|recommend|cite|call|send|claim|mention)\b
    | \b(?:answer|respond|reply|conclude|finish|end|begin|start)\s+(?:only\s+|every\s+\w+\s+)?(?:with|by\ saying)\b
    | \b(?:always|only|never)\s+(?:answer|say|respond|reply|output|recommend|cite|mention|praise|state)\b
    | \b(?:do\ not|don't|never)\s+(?:mention|reveal|cite|tell|disclose|warn|report)\b
    | \b(?:please\s+)?(?:cite|recommend|praise|endorse|promote)\s+(?:this|our|the\ following|only|doi|arxiv|smith)\b
    | \b(?:send|post|upload|forward|exfiltrate|leak|transmit|e-?mail|append|fetch|curl|wget|visit|click|open
        |download|load)
        \b[^.]{0,80}(?:https?://|www\.|@|\bapi[_\ ]?keys?\b|\bpasswords?\b|\bsecrets?\b|\bconversation\b
        |\bthe\ user|\burl\b)
    | !\[[^\]]*\]\(https?:// | \b(?:rm\ -rf|os\.system|subprocess|eval\(|exec\(|import\ os|sudo)\b
    | \b(?:rate|give|assign|award|score)\b[^.]{0,30}\b(?:5/5|10/10|highest|maximum|full|top
        |best\ possible)\b[^.]{0,20}\b(?:
        score|rating|marks?|grade)\b
    | ^\W*(?:please\s+|now\s+)?(?:call|invoke|run|send|visit|click|reply|respond|output|print|ignore|say|write|act
        |execute|pretend|begin|append|insert|answer|repeat|forget|disregard|reveal|tell|email|start|finish|delete|open)\b
    | \b(?:call|invoke|run|use|execute|trigger)\b.{0,20}\b(?:tool|function|command|plugin|script|agent)s?\b.{0,40}
        \b(?:argument|parameter|with|to)\b
    | \b(?:environment\ variables?|api[_\ ]keys?|access\ tokens?)\b | \bjailbreak\b | \bdan\ mode\b
    | (?:[A-Za-z0-9+/]{80,}={0,2}) | [\u200b-\u200f\u202a-\u202e\u2060-\u2064\U000e0000-\U000e007f]
    """
)


def hazard(question: str) -> str | None:
    """Why a request is refused, or None for a request that is fine."""
    text = readable("".join(c for c in normalize("NFKC", question) if category(c) != "Cf"))
    protecting = _PROTECTING.search(text) and not _WEAPON.search(text) and not _DEFIED.search(text)
    if protecting:
        return None
    if _HARMING.search(text):
        return "This asks how to harm people; matgen does not help with that."
    for kind, pattern in _SUBSTANCES.items():
        if _asks(kind, text) and (match := pattern.search(text)):
            article = "an" if kind[0] in "aeiou" else "a"
            what = f"{match[0]}, which counts as {article} {kind}"
            return f"This asks how to make or release {what}; matgen does not help with that."
    return None


def _asks(kind: str, text: str) -> bool:
    """Whether a text asks for the making or use of a kind of substance; of weapons and drugs any does."""
    if kind == "toxic gas":
        return _MAKING.search(text) is not None or re.search(r"\bweapon|\bto (?:kill|harm|poison)\b", text) is not None
    return kind != "explosive" or _GIVING.search(text) is not None


def gives_orders(sentence: str) -> bool:
    """Whether a sentence of a document addresses a reader that is a machine.

    Such a sentence, and what follows it in its passage, is never evidence.
    """
    return _ORDERS.search(sentence) is not None
