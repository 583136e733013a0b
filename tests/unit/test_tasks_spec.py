"""Task definitions: packed tasks, refused definitions with their messages, rules on a vocabulary."""

from __future__ import annotations

from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw_tokens import CAR_HIGHWAYS, TASKS

from geojepa_cli.errors import GeojepaError, NotFoundError, UsageError
from geojepa_cli.tasks.label_spec import TagRule
from geojepa_cli.tasks.rules import RuleVocabulary
from geojepa_cli.tasks.spec import find_task, load_task, packed_tasks

BOMB = "m0: &m0 {a: 1}\n" + "".join(
    f"m{i}: &m{i} {{<<: [{', '.join([f'*m{i - 1}'] * 20)}]}}\n" for i in range(1, 9)
)  # of 20⁸ merges
MINIMAL = "name: park\ntitle: parks\nlabel:\n  kind: count\n  tags: [leisure=park]\n"


def refused(tmp_path: Path, text: str) -> GeojepaError:
    path = tmp_path / "task.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        load_task(path)
    return caught.value


def test_the_five_tasks_of_the_thesis_are_packed() -> None:
    assert set(packed_tasks()) == set(TASKS)
    assert {find_task(name).name: find_task(name).keep_zero for name in TASKS} == {
        "traffic_signals": 0.05,
        "building_count": 0.1,
        "bridge": 0.25,
        "car_bridge": 0.1,
        "max_speed": 1.0,
    }


def test_car_bridges_are_bridges_on_roads_for_cars() -> None:
    assert {value for rule in find_task("car_bridge").label.where for value in rule.values} == CAR_HIGHWAYS
    assert find_task("car_bridge").label.tags == find_task("bridge").label.tags


@pytest.mark.parametrize("name", TASKS)
def test_a_resolved_task_reads_back_as_itself(name: str, tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(find_task(name).to_yaml())
    assert load_task(path) == find_task(name)


KEYS = st.text(alphabet="ab*=: '#[", min_size=1, max_size=4)
VALUES = st.lists(st.text(alphabet="ab*=: '#[\n", max_size=4), min_size=1, max_size=2)


@given(
    st.lists(
        st.builds(TagRule, key=KEYS, values=VALUES.map(tuple), excluded=st.just(()) | VALUES.map(tuple)), max_size=3
    )
)
def test_rules_of_any_signs_read_back_as_themselves(tmp_path_factory: pytest.TempPathFactory, rules: list) -> None:
    spec = find_task("bridge")
    spec = spec.model_copy(update={"mask": spec.mask.model_copy(update={"tags": tuple(rules)})})
    path = tmp_path_factory.mktemp("spec") / "task.yaml"
    path.write_text(spec.to_yaml())
    assert load_task(path) == spec


def test_no_in_yaml_is_the_value_no_and_not_false(tmp_path: Path) -> None:
    path = tmp_path / "task.yaml"
    path.write_text(MINIMAL.replace("[leisure=park]", "[{key: building, except: [no]}]"))
    rule = load_task(path).label.tags[0]
    assert (rule.key, rule.excluded) == ("building", ("no",))


def test_a_task_is_found_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "park.yaml"
    path.write_text(MINIMAL)
    assert find_task(str(path)).label.tags == (TagRule(key="leisure", values=("park",)),)


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        (MINIMAL + "keep_zeros: 0.1\n", "keep_zeros", "keep_zero"),
        (MINIMAL + "  wher: [highway]\n", "label.wher", "where"),
        (MINIMAL.replace("[leisure=park]", "[{key: a, excpt: [no]}]"), "label.tags.0.excpt", "except"),
        (MINIMAL + "mask: {tag: [a]}\n", "mask.tag", "tags"),
        (MINIMAL.replace("title:", "titel:"), "titel", "title"),  # `title` is missing, too
        (MINIMAL.replace("  kind:", "  knd:"), "label.knd", "kind"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_one_named(tmp_path: Path, text: str, key: str, meant: str) -> None:
    message = refused(tmp_path, text).message
    assert f"`{key}`" in message
    assert f"did you mean `{meant}`" in message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (MINIMAL.replace("kind: count", "kind: max"), "`read`"),
        (MINIMAL.replace("kind: count", "kind: sum"), "`of`"),
        (MINIMAL + "  absent: -1\n", "`requires`"),
        (MINIMAL.replace("[leisure=park]", "[]"), "label.tags"),
        (MINIMAL.replace("name: park", "name: My Park"), "`name`"),
        (MINIMAL + "keep_zero: 0\n", "keep_zero"),
        ("- a list", "not a task"),
        ("a: [", "not YAML, line 1, column 5"),
        ("name: park\nlabel: {kind: count\n", "not YAML, line 3, column 1"),
        ("name: park\n", "lacks the key `title`"),
        ("[" * 5000, "nested more than 32 levels"),
        (MINIMAL + "keep_zero: " + "9" * 60 + "\n", "keep_zero"),
        (MINIMAL + "keep_zero: " + "9" * 5000 + "\n", "a number of 5,000 characters"),
        (MINIMAL + "  clamp: [0, " + "9" * 40 + "]\n", "label.clamp.1"),
        (MINIMAL + "keep_zero: .inf\n", "keep_zero"),
        (MINIMAL + "keep_zero: .nan\n", "keep_zero"),
        (MINIMAL.replace("title: parks", "title: " + "x" * 300), "`title`"),
        (MINIMAL.replace("leisure=park", "x" * 300), "label.tags.0.key"),
        (MINIMAL.replace("leisure=park", ", ".join(f"k{i}" for i in range(1001))), "label.tags"),
        (MINIMAL + "<<: {keep_zero: 0.5}\n", "merge keys"),
        (BOMB, "merge keys (`<<`) are not supported"),
        ("name: !!python/object/apply:os.system [true]\n", "could not determine a constructor"),
        (MINIMAL + "keep_zero: 0.5\nkeep_zero: 0.1\n", "duplicate key `keep_zero`"),
        (MINIMAL + "  clamp: [5, 1]\n", "the minimum of `clamp`, 5, is above its maximum, 1"),
        (MINIMAL + "  clamp: [0, 1.0e+300]\n", "label.clamp.1"),
        (MINIMAL + "  requires: [highway]\n  absent: -1.0e+300\n", "label.absent"),
        (MINIMAL.replace("[leisure=park]", "[{key: a, values: []}]"), "label.tags.0.values"),
        (MINIMAL.replace("[leisure=park]", "[{key: a, values: [20]}]"), "expected text; quote numbers and dates"),
        (MINIMAL.replace("[leisure=park]", "[[a]]"), "a rule is `key=value`, a bare `key`"),
        (MINIMAL.replace("[leisure=park]", "leisure"), "expected a list, got `leisure`"),
        (MINIMAL.replace("name: park", "name: " + "a" * 300), "`name`"),
        (MINIMAL + "1: 2\n", "a key must be text"),
    ],
)
def test_a_wrong_definition_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    error = refused(tmp_path, text)
    assert says in error.message
    assert str(tmp_path) in error.message
    assert "after the file is corrected" in str(error.hint) and "TagRule" not in error.message
    assert len(error.message) < 600


def test_an_unknown_task_names_the_nearest() -> None:
    with pytest.raises(NotFoundError, match="did you mean `max_speed`"):
        find_task("max_sped")
    with pytest.raises(NotFoundError, match="not found"):
        find_task("nowhere/park.yaml")


WRITTEN = st.sampled_from(["*", "a", "b", "a*", "*b", "a*b", "*a*", "a.b", ""])
PATTERNS = st.lists(WRITTEN | st.text(alphabet="ab*", max_size=7), min_size=1, max_size=3)
WORDS = st.text(alphabet="ab.\n", max_size=7)


@given(st.lists(st.tuples(WORDS, WORDS), max_size=20), PATTERNS.filter(lambda p: p[0]), PATTERNS, st.booleans())
def test_rules_match_as_shell_patterns_do(
    pairs: list[tuple[str, str]], keys: list[str], values: list[str], with_exception: bool
) -> None:
    excluded = ["b", "*.*"] if with_exception else []
    rule = TagRule.model_validate({"key": keys[0], "values": values, "except": excluded})
    vocabulary = RuleVocabulary([k for k, _ in pairs], [v for _, v in pairs])
    wanted = [fnmatchcase(k, keys[0]) and any(fnmatchcase(v, p) for p in values) for k, v in pairs]
    assert vocabulary.matches([rule], whatever_value=True).tolist() == wanted
    kept = [w and not any(fnmatchcase(v, p) for p in excluded) for w, (_, v) in zip(wanted, pairs, strict=True)]
    assert vocabulary.matches([rule]).tolist() == kept


def test_a_pattern_of_many_stars_takes_no_longer_than_its_text() -> None:
    # A regular expression would try about 255 to the tenth power ways; the pattern's letters do not end in a `b`.
    rule = TagRule(key="k", values=("*a" * 10 + "*b",))
    vocabulary = RuleVocabulary(["k", "k"], ["a" * 255, "a" * 255 + "b"])
    assert vocabulary.matches([rule]).tolist() == [False, True]


def test_rules_of_every_form_match_what_a_slow_reading_matches() -> None:
    texts = ["a", "ab", "b", "xab", "abx", "", "a b", "no", "a*b"]
    keys = [key for key in texts if key for _ in texts]
    values = [value for key in texts if key for value in texts]
    vocabulary = RuleVocabulary(keys, values)
    for key in ("a", "*", "a*", "*b", "*a*", "a*b"):
        for wanted in (("a",), ("a", "no", "missing"), ("*",), ("*ab*",), ("a*", "b"), ("**",), ("*a*b*",)):
            for excluded in ((), ("no",), ("*x",)):
                rule = TagRule(key=key, values=wanted, excluded=excluded)
                for _ in range(2):  # the second time from memory
                    found = vocabulary.matches([rule])
                    for row in range(len(vocabulary)):
                        expected = any(fnmatchcase(values[row], pattern) for pattern in wanted)
                        expected &= not any(fnmatchcase(values[row], pattern) for pattern in excluded)
                        assert found[row] == (fnmatchcase(keys[row], key) and expected), (rule, row)
                assert vocabulary.matches([rule], whatever_value=True).sum() >= found.sum()
