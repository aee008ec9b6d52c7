"""Files in today's spelling: what is rewritten, and that nothing else is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from pydantic import JsonValue

from olive_engine.config.draft import read
from olive_engine.config.legacy import Revision, revise
from olive_engine.config.legacy.whole import bring_together, revise_whole
from olive_engine.config.loader import load, loads
from olive_engine.config.migrate import Migrated, migrate
from olive_engine.config.tree import plain
from olive_engine.errors import InvalidWorkflow

from .random_yaml import RandomYaml


@pytest.fixture(autouse=True)
def plugins() -> None:
    """What is installed, and not only what this folder's tests make up."""


def migrated(folder: Path, text: str | bytes, suffix: str = ".yaml") -> Migrated:
    """What comes of a text; a second time nothing does."""
    file = folder / f"workflow{suffix}"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    done = migrate(file)
    again = folder / f"again{suffix}"
    again.write_bytes(done.text.encode())
    second = migrate(again)
    assert (second.text, second.is_changed, second.notices) == (done.text, False, ())
    return done


EVERYTHING = """\
# yaml-language-server: $schema=workflow.schema.json
# A header about this file.

# About the model
model:   # the model's comment
  # the kind
  type: PyTorchModel     # an old kind
  config:   # details
    # where
    model_path: 'here/model'   # a folder
    # what for
    task: "text-generation"
    # last words on the model

data_configs:   # two of them
  # training rows
  train:   # the biggest
    # inside train
    type: HuggingfaceContainer
    load_dataset_config:
      # params below
      params:
        data_name: json   # format
        data_files: &files "${env:DATA:-data/rows.json}"
        split: train[:80%]

  # held out
  eval: {load_dataset_config: {params: {data_name: json, data_files: *files}}} # flow

passes:
  # fine-tuning
  lora:
    type: LoRA
    # all options
    config:   # opt
      # rank
      lora_r:   0o20   # octal
      lora_alpha: 1.60e+1
      train_data_config: train
      training_args:
        learning_rate: 1e-5   # small
        # every so often
        evaluation_strategy: steps
        output_dir: somewhere
        # tail of args
      # tail of config
    evaluator: e

  # merging
  merge:
    type: MergeAdapterWeights   # fold
# evaluators at the end
evaluators:
  e:
    metrics:
    - name: a
      type: latency
      # sub
      sub_type: avg   # mean
      priority_rank: 1
    - name: own  # own code
      type: custom   # not yet
      user_config:
        user_script: x.py
    - {name: b, type: size_on_disk}
engine:
  # the cache
  cache_dir: cache
  clean_cache: true
  host: {type: LocalSystem, config: {accelerators: [gpu]}}

  # the end of the engine
# the end of the file
"""
EVERYTHING_TODAY = """\
# yaml-language-server: $schema=workflow.schema.json
# A header about this file.

# About the model
input_model:   # the model's comment
  # the kind
  type: HfModel     # an old kind
  # details
  # where
  model_path: 'here/model'   # a folder
  # what for
  task: "text-generation"
  # last words on the model

data_configs:   # two of them
  # training rows
  - name: train   # the biggest
    # inside train
    type: HuggingfaceContainer
    load_dataset_config:
      # params below
      data_name: json   # format
      data_files: &files "${env:DATA:-data/rows.json}"
      split: train[:80%]

  # held out
  - {name: eval, load_dataset_config: {data_name: json, data_files: *files}} # flow

passes:
  # fine-tuning
  lora:
    type: LoRA
    # all options
    # opt
    # rank
    r:   0o20   # octal
    alpha: 1.60e+1
    train_data_config: train
    training_args:
      learning_rate: 1e-5   # small
      # every so often
      eval_strategy: steps
      # tail of args
    # tail of config
    evaluator: e

  # merging
  merge:
    type: MergeAdapterWeights   # fold
# evaluators at the end
evaluators:
  e:
    metrics:
    - name: a
      type: latency
      # sub
      # mean
      sub_types:
      - name: avg
        priority: 1
    - name: own  # own code
      type: custom   # not yet
      user_config:
        user_script: x.py
    - {name: b, type: size_on_disk}
# the cache
cache_dir: cache
systems:
  host: {type: LocalSystem, accelerators: [{device: gpu}]}
host: host

# the end of the engine
# the end of the file
"""


def test_comments_order_quotes_numbers_and_blanks_are_kept(tmp_path: Path) -> None:
    done = migrated(tmp_path, EVERYTHING)
    assert done.text == EVERYTHING_TODAY
    assert [lack.what for lack in done.lacks] == ["a metric that code of your own measures is not available yet"]
    assert (done.refused, done.keeps_comments, done.is_whole) == ((), True, True)


PAIRS = {
    "flow mappings with comments": (
        """\
passes: {
  # one
  a: {type: LoRA, config: {lora_r: 4, weight_decay: 0.1}}, # first
  b: {
    type: LoRA,   # kind
    config: {  # options
      # rank
      lora_r: 4,  # four
      lora_alpha: 2  # two
      # tail
    }, # after them
  }
}
""",
        """\
passes: {
  # one
  a: {type: LoRA, r: 4, training_args: {weight_decay: 0.1}}, # first
  b: {
    type: LoRA,   # kind
    # options
    # rank
    r: 4,  # four
    alpha: 2,  # two
    # tail
    # after them
  }
}
""",
    ),
    "an anchor whose uses are rewritten alike": (
        """\
data_configs:
  a:
    pre_process_data_config: &pre   # both
      source_max_len: 64   # tokens
      text_cols: t
  b:
    pre_process_data_config: *pre   # the same
""",
        """\
data_configs:
  - name: a
    pre_process_data_config: &pre   # both
      max_seq_len: 64   # tokens
      text_cols: t
  - name: b
    pre_process_data_config: *pre   # the same
""",
    ),
    "an anchor on what is lifted": (
        """\
passes:
  a: &base
    type: LoRA
    config: &options   # shared
      lora_r: 4   # rank
  b: *base
  c:
    type: &kind LoRA
    config:
      <<: *options
      lora_alpha: 3
  d: {type: *kind}
""",
        """\
passes:
  a:
    type: LoRA
    # shared
    r: 4   # rank
  b:
    type: LoRA
    # shared
    r: 4   # rank
  c:
    type: &kind LoRA
    r: 4   # rank
    alpha: 3
  d: {type: *kind}
""",
    ),
    "markers of the document": (
        "%YAML 1.2\n# head\n---   # doc\nmodel:\n    type: HfModel\n    model_path: a/b\n...\n# after\n",
        "%YAML 1.2\n# head\n---   # doc\ninput_model:\n    type: HfModel\n    model_path: a/b\n...\n# after\n",
    ),
    "long, folded and literal texts": (
        """\
passes:
    lora:
        type: LoRA
        config:
            target_modules: [q_proj,
              k_proj,  # k

              v_proj]
            one: "long
              text"
            two: plain
              more # end
            three: >-
                folded
                  more


                end
            four: |2
                  indented

                less
            lora_r:
              0x10
            five: LINE
""".replace("LINE", "word " * 40 + "end"),
        """\
passes:
    lora:
        type: LoRA
        target_modules: [q_proj,
          k_proj,  # k

          v_proj]
        one: "long
          text"
        two: plain
          more # end
        three: >-
            folded
              more


            end
        four: |2
              indented

            less
        r:
          0x10
        five: LINE
""".replace("LINE", "word " * 40 + "end"),
    ),
    "sequences that are not indented": (
        """\
systems:
  s:
    type: LocalSystem
    accelerators:
    # first
    - gpu   # big
    - {device: CPU}
    - device: npu
      execution_providers: [[QNNExecutionProvider, {a: 1}], CPUExecutionProvider]  # two
evaluators:
  e:
    metrics:
      name: a  # a lone one
      type: latency
      sub_types: avg  # mean
""",
        """\
systems:
  s:
    type: LocalSystem
    accelerators:
    # first
    - device: gpu   # big
    - {device: cpu}
    - device: npu
      execution_providers: [QNNExecutionProvider, CPUExecutionProvider]  # two
evaluators:
  e:
    metrics:
    - name: a  # a lone one
      type: latency
      sub_types: [avg]  # mean
""",
    ),
    "into a mapping in braces": (
        """\
passes:
  a:
    type: LoRA
    training_args: {seed: 1}  # args
    weight_decay: 0.1   # wd
  b:
    type: LoRA
    training_args: {seed: 1}
    weight_decay: 0.1
""",
        """\
passes:
  a:
    type: LoRA
    training_args:  # args
      seed: 1
      weight_decay: 0.1   # wd
  b:
    type: LoRA
    training_args: {seed: 1, weight_decay: 0.1}
""",
    ),
    "nothing left": (
        """\
data_configs:
- name: a
  pre_process_data_config:   # nothing left
    # why
    pad_to_max_len: true
  dataloader_config: {shuffle: true}
- name: b
""",
        """\
data_configs:
- name: a
  pre_process_data_config: {}   # nothing left
    # why
  dataloader_config: {}
- name: b
""",
    ),
    "a path that was a mapping": (
        """\
input_model:
  type: HfModel
  # of the registry
  model_path:
    type: azureml_registry_model   # the registry
    config:
      name: m  # which
      version: 3
      registry_name: r
""",
        """\
input_model:
  type: HfModel
  # of the registry
  # the registry
  # which
  model_path: azureml://registries/r/models/m/versions/3
""",
    ),
    "what every pass gets": (
        """\
input_model: {type: HfModel, model_path: a/b}
passes:
  a: {type: LoRA, training_args: {seed: 1}}
  b:
    type: QLoRA
training_config:
  # the rate
  learning_rate: 1e-5   # small
  seed: 0o3
""",
        """\
input_model: {type: HfModel, model_path: a/b}
passes:
  a:
    type: LoRA
    training_args:
      seed: 1
      # the rate
      learning_rate: 1e-5   # small
  b:
    type: QLoRA
    training_args:
      # the rate
      learning_rate: 1e-5   # small
      seed: 0o3
""",
    ),
    "a root before every path": (
        """\
input_model: {type: HfModel, model_path: a/b}
data_root: ${env:ROOT}/
data_configs:
- name: d
  load_dataset_config:
    data_files:
    - "a.json"   # A
    # B
    - 'b.json'
    - /c.json
""",
        """\
input_model: {type: HfModel, model_path: a/b}
data_configs:
- name: d
  load_dataset_config:
    data_files:
    - "${env:ROOT}/a.json"   # A
    # B
    - '${env:ROOT}/b.json'
    - /c.json
""",
    ),
    "flows": (
        """\
input_model: {type: HfModel, model_path: a/b}
passes:
  # the first
  a: {type: LoRA}   # a
  # the second
  b: {type: MergeAdapterWeights}   # b
  # the third
  c: {type: LoRA, r: 2}   # c
pass_flows: [[a, b], [c, b]]   # two
""",
        """\
input_model: {type: HfModel, model_path: a/b}
passes:
  # the first
  a: {type: LoRA}   # a
  # the second
  b: {type: MergeAdapterWeights}   # b
  # the third
  c: {type: LoRA, r: 2, input: input_model}   # c
  # the second
  b_2: {type: MergeAdapterWeights}   # b
""",
    ),
    "a fragment, laid over another file": (
        "# over another\npasses:\n  lora:\n    type: LoRA\n    config:\n      lora_alpha: 2   # why not\n",
        "# over another\npasses:\n  lora:\n    type: LoRA\n    alpha: 2   # why not\n",
    ),
    "extends and its whole": (
        "extends: base.yaml  # more\nmodel: {type: HfModel, model_path: a/b}\nhost: there\n",
        "extends: base.yaml  # more\ninput_model: {type: HfModel, model_path: a/b}\nhost: there\n",
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_text(name: str, tmp_path: Path) -> None:
    old, new = PAIRS[name]
    done = migrated(tmp_path, old)
    assert done.text == new
    assert done.keeps_comments


JSON_PAIRS = {
    "one line": (
        '{"model":{"type":"PyTorchModel","config":{"hf_config":{"model_name":"a/b"}}},"engine":{"seed":1,"host":{"type":'
        '"LocalSystem","config":{"accelerators":["gpu"]}}}}',
        '{"input_model":{"type":"HfModel","model_path":"a/b"},"seed":1,"systems":{"host":{"type":"LocalSystem",'
        '"accelerators":[{"device":"gpu"}]}},"host":"host"}',
    ),
    "tabs and line ends of Windows": (
        '{\r\n\t"passes": {\r\n\t\t"a": {\r\n\t\t\t"type": "LoRA",\r\n\t\t\t"config": {\r\n\t\t\t\t"lora_r": 4,\r\n'
        '\t\t\t\t"weight_decay": 1E-2\r\n\t\t\t}\r\n\t\t}\r\n\t}\r\n}\r\n',
        '{\r\n\t"passes": {\r\n\t\t"a": {\r\n\t\t\t"type": "LoRA",\r\n\t\t\t"r": 4,\r\n\t\t\t"training_args": {\r\n'
        '\t\t\t\t"weight_decay": 1E-2\r\n\t\t\t}\r\n\t\t}\r\n\t}\r\n}\r\n',
    ),
    "data configs by name": (
        '{\n  "$schema": "https://x/y",\n  "data_configs": {\n    "a": {\n      "params_config": {"data_name": "x/y"}\n'
        '    },\n    "b": {}\n  },\n  "clean_cache": true\n}',
        '{\n  "$schema": "https://x/y",\n  "data_configs": [\n    {\n      "name": "a",\n'
        '      "load_dataset_config": {\n        "data_name": "x/y"\n      }\n    },\n    {"name": "b"}\n  ]\n}',
    ),
    "escapes": (
        '{"model": {"type": "HfModel", "model_path": "\\u00fc\\/\\ud83d\\ude00"}, "seed": 1.0e1}\n',
        '{"input_model": {"type": "HfModel", "model_path": "\\u00fc\\/\\ud83d\\ude00"}, "seed": 1.0e1}\n',
    ),
}


@pytest.mark.parametrize("name", JSON_PAIRS)
def test_a_json_text(name: str, tmp_path: Path) -> None:
    old, new = JSON_PAIRS[name]
    assert migrated(tmp_path, old, ".json").text == new


def test_the_bytes_around_the_values_are_kept(tmp_path: Path) -> None:
    old = "\ufeffmodel:  # ü\r\n  type: HfModel\r\n  model_path: a/b\r\n\r\n# ende\r\nseed: 1"
    assert migrated(tmp_path, old).text == old.replace("model:", "input_model:", 1)


@pytest.mark.parametrize("text", ["", "# nothing\n", "seed: 1", "a: [1, 2]  # not ours\n", "- a\n", "? a\n: b\n"])
def test_what_has_no_older_spelling_is_not_touched(text: str, tmp_path: Path) -> None:
    assert migrated(tmp_path, text).text == text


# --- what cannot be had, what has no place ------------------------------------------------------------------------


def test_what_cannot_be_had_yet_stays(tmp_path: Path) -> None:
    old = """\
input_model: {type: HfModel, model_path: a/b}
data_configs:
  - name: own
    # my code
    user_script: x.py   # here
    load_dataset_config: {params: {split: train}}
  - {name: d, load_dataset_config: {params: {data_name: x/y}}}
evaluators:
  e:
    metrics:
      # my own
      - {name: z, type: custom, user_config: {metric_func: f}}   # z
      - {name: l, config: {type: latency}}
  lm:  # harness
    type: LMEvaluator
    tasks: [hellaswag]
"""
    new = old.replace("{params: {split: train}}", "{split: train}")
    new = new.replace("{params: {data_name: x/y}}", "{data_name: x/y}").replace(
        "config: {type: latency}", "type: latency"
    )
    done = migrated(tmp_path, old)
    assert done.text == new
    assert [lack.path for lack in done.lacks] == [
        ("data_configs", 0),
        ("evaluators", "e", "metrics", 0),
        ("evaluators", "lm"),
    ]


def test_what_has_no_place_stays_and_the_rest_is_rewritten(tmp_path: Path) -> None:
    old = """\
input_model:
  type: PyTorchModel
  # mine
  model_loader: f   # loader
  model_script: a.py
  config: {model_path: here}
data_configs:
  a: {pre_process_data_config: {dataset_type: pair, source_max_len: 3}}
passes:
  lora: {type: LoRA, r: 1, config: {lora_r: 2, lora_alpha: 4}}
"""
    new = """\
input_model:
  type: PyTorchModel
  # mine
  model_loader: f   # loader
  model_script: a.py
  model_path: here
data_configs:
  - {name: a, pre_process_data_config: {dataset_type: pair, max_seq_len: 3}}
passes:
  lora: {type: LoRA, r: 1, lora_r: 2, alpha: 4, train_data_config: a}
"""
    done = migrated(tmp_path, old)
    assert done.text == new
    assert {problem.path[-1] for problem in done.refused} == {"model_loader", "dataset_type", "lora_r"}


def test_nothing_is_lost_of_kinds_that_are_not_here(tmp_path: Path) -> None:
    old = """\
input_model: {type: CompositeModel, config: {model_components: [{type: ONNXModel}]}, model_attributes: {a: 1}}
systems: {box: {type: IsolatedORT, config: {is_dev: true, accelerators: [GPU]}}}
passes: {a: {type: VendorQuantization, config: {output_name: x, bits: 4}}}
"""
    new = """\
input_model: {type: CompositeModel, model_components: [{type: ONNXModel}], model_attributes: {a: 1}}
systems: {box: {type: IsolatedORT, is_dev: true, accelerators: [{device: gpu}]}}
passes: {a: {type: VendorQuantization, output_name: x, bits: 4}}
"""
    assert migrated(tmp_path, old).text == new


def test_references_to_variables_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WHERE", "there/model")
    monkeypatch.setenv("DEVICE", "GPU")
    old = """\
model: {type: PyTorchModel, config: {model_path: "${env:WHERE}"}}
systems: {s: {type: LocalSystem, accelerators: "${env:DEVICE}"}}
passes:
  a: {type: LoRA, config: {lora_r: "${env:RANK:-4}", disable_search: "${env:SEARCHED:-true}"}}
"""
    new = """\
input_model: {type: HfModel, model_path: "${env:WHERE}"}
systems: {s: {type: LocalSystem, accelerators: ["${env:DEVICE}"]}}
passes:
  a: {type: LoRA, r: "${env:RANK:-4}", disable_search: "${env:SEARCHED:-true}"}
"""
    assert migrated(tmp_path, old).text == new


def test_a_file_that_is_wrong_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidWorkflow, match="a line without `:`"):
        migrated(tmp_path, "model: {}\nhere\n")
    with pytest.raises(InvalidWorkflow, match="no such file"):
        migrate(tmp_path / "nothing.yaml")


def test_a_form_of_yaml_that_cannot_be_edited_is_written_anew(tmp_path: Path) -> None:
    done = migrated(tmp_path, "? model\n: {type: HfModel, model_path: a/b}  # here\nseed: 0o7\n")
    assert (done.text, done.keeps_comments) == (
        "input_model:\n  type: HfModel\n  model_path: a/b\nseed: 7\n",
        False,
    )


# --- from JSON to YAML and back -----------------------------------------------------------------------------------


def test_json_becomes_yaml_and_yaml_json(tmp_path: Path) -> None:
    tree = {
        "model": {"type": "HfModel", "model_path": "a/b"},
        "data_configs": [
            {
                "name": "no",
                "text": "{a}: #1\n",
                "date": "2024-01-01",
                "n": "1e3",
                "deep": [[1], {"a": []}],
                "none": None,
            }
        ],
        "passes": {"a": {"type": "LoRA", "target_modules": ["q", "k"], "training_args": {}, "yes": True}},
    }
    file = tmp_path / "w.json"
    file.write_text(json.dumps(tree).replace('"a": []', '"a": [1E-5]'))
    text = migrate(file, tmp_path / "w.yaml").text
    assert (
        text
        == """\
input_model:
  type: HfModel
  model_path: a/b
data_configs:
  - name: "no"
    text: "{a}: #1\\n"
    date: "2024-01-01"
    "n": "1e3"
    deep:
      - [1]
      - a: [1E-5]
    none: null
passes:
  a:
    type: LoRA
    target_modules: [q, k]
    training_args: {}
    "yes": true
    train_data_config: "no"
"""
    )
    (tmp_path / "w.yaml").write_text("# note\n" + text)
    back = migrate(tmp_path / "w.yaml", tmp_path / "back.json")
    assert json.loads(back.text) == json.loads(migrate(file).text)
    assert not back.keeps_comments
    assert back.text.startswith('{\n    "input_model": {\n        "type": "HfModel"')


# --- any form -----------------------------------------------------------------------------------------------------

FILES = sorted(
    path
    for folder in ("dialects/examples", "dialects/recipes", "dialects/tutorials")
    for path in (Path(__file__).parents[1] / folder).glob("*.*")
    if path.suffix in (".json", ".yaml")
)


def root_of(file: Path) -> object:
    found = read([file]).root
    return plain(found) if found is not None else None


def trees() -> Iterator[tuple[Path, dict[str, JsonValue]]]:
    """The files with what they hold; one is no JSON, and says so."""
    for file in FILES:
        with suppress(InvalidWorkflow):
            tree = load(file).tree
            if isinstance(tree, dict) and tree:
                yield file, tree


TREES = list(trees())


@pytest.mark.parametrize(("file", "tree"), TREES, ids=[f"{file.parent.name}/{file.name}" for file, _ in TREES])
def test_a_file_in_any_form_says_the_same_after(file: Path, tree: dict[str, JsonValue], tmp_path: Path) -> None:
    root = read_root(file)
    done = migrated(tmp_path, file.read_bytes(), file.suffix)
    assert read_root(tmp_path / f"again{file.suffix}") == root
    if file.suffix == ".json":
        (tmp_path / "as.yaml").write_text(migrate(file, tmp_path / "as.yaml").text)
        assert read_root(tmp_path / "as.yaml") == root
    form = RandomYaml(file.name)
    done = migrated(tmp_path, form.text(tree))
    assert done.keeps_comments
    assert read_root(tmp_path / "again.yaml") == root
    old, new = lines_of(form.last), lines_of(done.text)
    before, after = ([said for said, _ in lines] for lines in (old, new))
    kept = {comment for _, comment in new}
    for said, comment in old:
        if comment and said[-1:] not in ("", ":", "{", "}", "-") and before.count(said) == after.count(said):
            assert comment in kept, said


def read_root(file: Path) -> JsonValue:
    """What a file is read as, in today's spelling."""
    root = read([file]).root
    assert root is not None
    return plain(root)


def lines_of(text: str) -> list[tuple[str, str]]:
    """Every line, as what stands in it and its comment."""
    parts = [line.strip().rpartition("# c") for line in text.splitlines()]
    return [(said.strip(), f"c{number}") if mark else (number, "") for said, mark, number in parts]


# --- the page about it --------------------------------------------------------------------------------------------


def rows(heading: str) -> list[tuple[str, str]]:
    """The lines of the table under a heading of the page."""
    page = (Path(__file__).parents[2] / "docs" / "migrating.md").read_text()
    lines = page.split(f"## {heading}\n")[1].split("\n## ")[0].splitlines()
    cells = [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines if line.startswith("| `")]
    return [(cell[0].strip("`"), cell[1].strip("`")) for cell in cells]


def revised(text: str) -> Revision:
    revision = Revision(loads(text.encode(), "w.yaml", "yaml").root)
    revise(revision)
    bring_together(revision)
    return revision


@pytest.mark.parametrize(("old", "new"), rows("Older spellings"))
def test_the_table_of_older_spellings_is_true(old: str, new: str) -> None:
    revision = revised(old)
    assert (revision.problems, revision.lacks) == ([], {})
    assert revision.notices
    assert plain(revision.root) == plain(revised(new).root) == loads(new.encode(), "new", "yaml").tree


@pytest.mark.parametrize(("written", "why"), rows("What is refused, and why"))
def test_the_table_of_what_is_refused_is_true(written: str, why: str) -> None:
    assert why
    assert len(revised(written).problems) == 1


@pytest.mark.parametrize(("written", "what"), rows("What is not available yet"))
def test_the_table_of_what_is_not_available_is_true(written: str, what: str) -> None:
    assert what
    revision = revised(written)
    revise_whole(revision)
    assert (len(revision.lacks), revision.problems) == (1, [])


def test_the_tables_have_lines() -> None:
    counts = [len(rows(name)) for name in ("Older spellings", "What is refused, and why", "What is not available yet")]
    assert counts == [28, 6, 6]
