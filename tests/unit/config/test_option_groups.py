"""Each flag is in one group of `--help`."""

from collections import Counter

from oaicompat_proxy.cli import main
from oaicompat_proxy.config.option_groups import FIRST, GROUPS, OptionGroup, with_settings
from oaicompat_proxy.config.settings import SETTINGS


def test_each_setting_is_in_one_group() -> None:
    counts = Counter(name for group in GROUPS for name in group.options)
    assert {name for name, count in counts.items() if count > 1} == set()
    settings = {each.name for each in SETTINGS}
    assert settings - counts.keys() == set()
    assert counts.keys() - settings == {"config", "new_key"}


def test_a_setting_that_no_group_names_follows_the_one_before_it() -> None:
    groups = (OptionGroup("one", "One", ("a", "b")), OptionGroup("two", "Two", ("c",)))
    one, two = with_settings(groups, ["new", "c", "d", "e", "a", "f", "b"])
    assert one == OptionGroup("one", "One", ("a", "f", "b", "new"))
    assert two == OptionGroup("two", "Two", ("c", "d", "e"))


def test_groups_have_names_of_their_own() -> None:
    names = [group.name for group in GROUPS]
    assert len({*names, "all"}) == len(names) + 1
    assert not {*names} & main.commands.keys()
    assert GROUPS[0] is FIRST
