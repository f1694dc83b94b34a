"""How a user's subject is found, what enters its key, and the line that each mistake gives."""

import importlib
import os
import random
import shutil
import sys
from dataclasses import replace
from importlib.metadata import version
from types import ModuleType

import numpy as np
import pytest
import torch

from bumplab.config import RENDERED, SubjectSpec
from bumplab.subjects import sources
from bumplab.subjects.planted import Planted
from bumplab.subjects.registry import described, load, require_unchanged, resolve
from bumplab.subjects.sources import SubjectError, blamed, source_hash
from tests.errors import error_of

PLANTED = "from bumplab.subjects.planted import Planted\nsubject = Planted()\n"
SUBJECT = "from bumplab.subjects.planted import Planted\nclass subject(Planted):\n    "
BARE = "from bumplab.subjects.protocol import Subject\nclass S(Subject): ..."


def write(folder, files):
    """Writes texts by their paths in the folder."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def loaded(folder, name="my.py:subject", *arguments):
    """Loads as a new process would, with modules and files from this folder."""
    for module, value in list(sys.modules.items()):
        if str(folder.parent) in str(getattr(value, "__file__", "")):
            del sys.modules[module]
    sys.path_importer_cache.clear()
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return load(name, arguments, folder)


def test_a_file_is_found_from_the_folder_or_the_home_and_imports_its_neighbours(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    text = "from dataclasses import dataclass\nimport helper\nfrom bumplab.subjects.planted import Planted\n"
    text += "@dataclass(frozen=True)\nclass Mine(Planted):\n    half: float = helper.HALF\n"
    write(tmp_path, {"deep/my.py": text, "deep/helper.py": "HALF = 3.0"})
    for name in ("deep/my.py:Mine", "~/deep/my.py:Mine", f"{tmp_path}/deep/my.py:Mine"):
        named = load(name, folder=tmp_path)
        assert named.subject.half == 3.0
        assert named.spec.name == "my.py:Mine"
        assert sorted(named.files) == ["helper.py", "my.py"]
        assert sys.modules["my"].Mine is type(named.subject)
    assert sys.path.count(str(tmp_path / "deep")) == 1


def test_an_instance_a_class_and_a_function_give_a_subject(tmp_path):
    write(tmp_path, {"my.py": PLANTED + "def make(half, sigma=1.0, **more):\n    return Planted(half, sigma)\n"})
    for name, arguments, expected in (
        ("my.py:subject", (), Planted()),
        ("my.py:Planted", (), Planted()),
        ("my.py:Planted", ("half=2", "sigma=0.5"), Planted(2, 0.5)),
        ("my.py:make", ("half=[1, 2]",), Planted([1, 2])),
        ("my.py:make", ("half=slow",), Planted("slow")),
        ("my.py:make", (" half = 'slow' ", "more=a=b"), Planted("slow")),
        ("bumplab.subjects.planted:Planted", ("half=1e3",), Planted(1000.0)),
    ):
        named = loaded(tmp_path, name, *arguments)
        assert named.subject == expected, (name, arguments)
        assert type(named.subject.half) is type(expected.half), (name, arguments)
        assert named.spec.name == name


def test_the_key_holds_the_arguments_as_typed_and_in_order(tmp_path):
    write(tmp_path, {"my.py": PLANTED})
    one = loaded(tmp_path, "my.py:Planted", "sigma=0.5", "half=64").spec
    assert one.arguments == (("half", "64"), ("sigma", "0.5"))
    assert one == loaded(tmp_path, "my.py:Planted", " half = 64", "sigma=0.5").spec
    assert one != loaded(tmp_path, "my.py:Planted", "half=64.0", "sigma=0.5").spec
    assert one == SubjectSpec.from_dict(one.to_dict())


def test_the_key_holds_the_versions_of_the_subject_and_its_libraries(tmp_path):
    write(tmp_path, {"my.py": SUBJECT + "version = 'data of May'\n    libraries = ('pytest', 'numpy')\n"})
    assert loaded(tmp_path).spec.versions == (
        ("", "data of May"),
        ("numpy", np.__version__),
        ("pytest", version("pytest")),
    )


def test_a_module_of_an_editable_install_is_hashed_where_the_file_imports_it(tmp_path, monkeypatch):
    """It lies in no folder of installed libraries. A module of the same install that is not imported does not count."""
    keys = []
    for number, text in enumerate(("HALF = 1.0", "HALF = 2.0", "HALF = 2.0")):
        folder = tmp_path / str(number)
        write(folder, {"src/theirs.py": text, "src/unused.py": f"A = {number}"})
        write(folder, {"here/my.py": "import theirs\n" + PLANTED})
        monkeypatch.syspath_prepend(folder / "src")
        for name in ("theirs", "my"):
            sys.modules.pop(name, None)
        named = loaded(folder / "here")
        assert sorted(named.files) == ["my.py", "theirs:module"]
        keys.append(named.spec.source)
    assert keys[0] != keys[1]
    assert keys[1] == keys[2]


def test_the_hash_follows_every_source_file_and_nothing_else(tmp_path):
    files = {
        "my.py": PLANTED, "helper.py": "A = 1", "nets/__init__.py": "", "nets/unet.py": "B = 1",
        "nets/blocks/conv.py": "C = 1", "nets/deep/__init__.py": "", "nets/deep/er.py": "",
    }  # fmt: skip
    write(tmp_path / "a", files)
    first = loaded(tmp_path / "a").spec

    def spec_with(changes, removed=()):
        folder = tmp_path / "b"
        shutil.rmtree(folder, ignore_errors=True)
        write(folder, {name: text for name, text in (files | changes).items() if name not in removed})
        return loaded(folder).spec

    assert spec_with({}) == first, "in another folder"
    for name, text in files.items():
        assert spec_with({name: text + "\n"}) != first, name
        if name not in ("my.py", "nets/__init__.py"):
            renamed = f"{name.removesuffix('.py')}_2.py"
            assert spec_with({renamed: text}, removed=(name,)) != first, renamed
            assert spec_with({}, removed=(name,)) != first, name
    for name in ("new.py", "nets/new.py", "nets/blocks/deeper/new.py", "more/__init__.py", "no/init.py"):
        assert spec_with({name: ""}) != first, name
    assert spec_with({"helper.py": files["nets/unet.py"], "nets/unet.py": files["helper.py"]}) != first, "swapped"
    for name in (
        "data.txt",
        ".hidden/__init__.py",
        ".hidden.py",
        "nets/.hidden/x.py",
        "nets/.x.py",
        "nets/__pycache__/x.py",
        "node_modules/x.py",
    ):
        assert spec_with({name: "D = 1"}) == first, name
    listed = loaded(tmp_path / "a").files
    assert source_hash(dict(reversed(listed.items()))) == first.source, "in any order"
    renamed = tmp_path / "b" / "other.py"
    (tmp_path / "b" / "my.py").rename(renamed)
    assert loaded(tmp_path / "b", "other.py:subject").spec.source != first.source


def test_a_module_is_hashed_with_its_whole_package(tmp_path):
    files = {
        "pkg/__init__.py": "", "pkg/gan.py": PLANTED, "pkg/nets/conv.py": "", "one.py": PLANTED,
        "space/mine/gan.py": PLANTED, "elsewhere/space/yours.py": "",
    }  # fmt: skip
    write(tmp_path, files)
    sys.path.append(str(tmp_path / "elsewhere"))
    hashed = {
        "pkg.gan:subject": ["pkg/__init__.py", "pkg/gan.py", "pkg/nets/conv.py"],
        "one:subject": ["one.py"],
        "space.mine.gan:subject": ["space/mine/gan.py", "space/yours.py"],
    }
    for name, expected in hashed.items():
        named = loaded(tmp_path, name)
        assert sorted(named.files) == expected, name
        assert named.spec.name == name
        changed = named.files[expected[-1]]
        changed.write_text(changed.read_text() + "\n# changed")
        assert loaded(tmp_path, name).spec.source != named.spec.source, name


def test_links_are_followed_and_end(tmp_path):
    write(tmp_path / "here", {"my.py": PLANTED, "pkg/__init__.py": ""})
    write(tmp_path / "far", {"away.py": "A = 1"})
    (tmp_path / "here" / "pkg" / "link").symlink_to(tmp_path / "far")
    (tmp_path / "here" / "pkg" / "loop").symlink_to(tmp_path / "here" / "pkg")
    (tmp_path / "here" / "broken.py").symlink_to(tmp_path / "nowhere.py")
    assert sorted(loaded(tmp_path / "here").files) == ["my.py", "pkg/__init__.py", "pkg/link/away.py"]


MAKER = PLANTED + "from glob import glob\n_x = subject\ndef make(): ..."
NOTHING = "such names here: none"
MISTAKES = {
    # name, arguments, text of my.py, words of the line
    "no colon": ("my.py", (), PLANTED, ["'my.py'", "FILE.py:NAME", "package.module:NAME"]),
    "built-in": ("unet", (), PLANTED, ["'unet'", "FILE.py:NAME"]),
    "no name": ("my.py:", (), PLANTED, ["FILE.py:NAME"]),
    "no file's name": (":subject", (), PLANTED, ["FILE.py:NAME"]),
    "an expression": ("my.py:subject()", (), PLANTED, ["FILE.py:NAME"]),
    "file missing": ("other.py:subject", (), PLANTED, ["other.py: does not exist"]),
    "file is a folder": ("folder.py:subject", (), PLANTED, ["folder.py: is no regular file"]),
    "no such home": ("~nobody-of-this-name/my.py:subject", (), PLANTED, ["does not exist"]),
    "no .py": ("./my:subject", (), PLANTED, ["'./my'", "must end in .py"]),
    "module missing": ("no_such_module:subject", (), PLANTED, ["'no_such_module'", "install it"]),
    "submodule missing": ("bumplab.nothing:subject", (), PLANTED, ["'bumplab.nothing'", "install it"]),
    "module without source": ("_ast:AST", (), PLANTED, ["_ast", "no source"]),
    "the module of Python's start": ("__main__:subject", (), PLANTED, ["__main__"]),
    "name missing": ("my.py:sub", (), MAKER, ["'sub'", "Planted, make, subject"]),
    "nothing in it": ("my.py:sub", (), "from bumplab.subjects.protocol import Subject", ["'sub'", NOTHING]),
    "a number": ("my.py:subject", (), "subject = 3", ["of type int", NOTHING]),
    "the contract itself": ("my.py:Subject", (), "from bumplab.subjects.protocol import Subject", [NOTHING]),
    "another class": ("my.py:subject", (), "class subject: pass", ["of type subject", NOTHING]),
    "a duck": ("my.py:subject", (), "class Duck:\n    def start(self): ...\nsubject = Duck()", ["of type Duck"]),
    "a function of none": ("my.py:subject", (), "def subject(): pass", ["of type NoneType", "here: subject"]),
    "a learner": (
        "my.py:L", (), "from bumplab.subjects.protocol import Learner\nclass L(Learner): ...", ["is a Learner"]
    ),
    "a network": ("my.py:net", (), "import torch\nnet = torch.nn.Linear(1, 1)", ["is a network", "Diffusion("]),
    "no start": ("my.py:S", (), BARE, ["no start"]),
    "argument of an instance": ("my.py:subject", ("half=2",), PLANTED, ["an instance"]),
    "unknown argument": ("my.py:Planted", ("haf=2",), PLANTED, ["'haf'", "it takes half, sigma, noise"]),
    "argument missing": ("my.py:f", ("b=2",), "def f(a, b): ...", ["'a'", "it takes a, b"]),
    "argument for none": ("my.py:subject", ("a=2",), SUBJECT + "__init__ = lambda self: None", ["no arguments"]),
    "argument without __init__": ("my.py:S", ("a=2",), BARE, ["takes no arguments"]),
    "no equals sign": ("my.py:Planted", ("half",), PLANTED, ["'half'", "NAME=VALUE"]),
    "no argument's name": ("my.py:Planted", ("=3",), PLANTED, ["'=3'", "NAME=VALUE"]),
    "twice": ("my.py:Planted", ("half=1", "half=2"), PLANTED, ["'half'", "'1'", "'2'", "once"]),
    "unprintable": ("my.py:Planted", ("half=\x1b[31m",), PLANTED, ["\\x1b", "printable"]),
    "long": ("my.py:Planted", ("half=" + 201 * "1",), PLANTED, ["at most 200"]),
    "long name": (f"my.py:{201 * 'a'}", (), PLANTED, ["at most 200"]),
    # errors of the user's code
    "import error": ("my.py:subject", (), "\nimport not_installed", ["my.py:2: ModuleNotFoundError: No module named"]),
    "name error": ("my.py:subject", (), "x = 1\ny = xx\n", ["my.py:2: NameError: name 'xx' is not defined"]),
    "syntax error": ("my.py:subject", (), "x = 1\ny = = 2\n", ["my.py:2: SyntaxError: invalid syntax"]),
    "exit": ("my.py:subject", (), "import sys\nsys.exit('no GPU')\n", ["my.py:2: SystemExit: no GPU"]),
    "many lines": ("my.py:subject", (), "raise ValueError('a\\nb\\x1b')", ["my.py:1: ValueError: a b\\x1b"]),
    "neighbour": ("my.py:subject", (), "import broken", ["broken.py:3: ZeroDivisionError"]),
    "neighbour's syntax": ("my.py:subject", (), "import garbled", ["garbled.py:1: SyntaxError"]),
    "in a package": ("pkg.gan:subject", (), "", ["pkg/gan.py:1: ZeroDivisionError"]),
    "in a package without its library": ("pkg.lost:subject", (), "", ["pkg/lost.py:1: ModuleNotFoundError"]),
    "in a library": ("my.py:subject", (), "import json\n\njson.loads('{')", ["my.py:3: JSONDecodeError"]),
    "in the call": ("my.py:subject", (), "def subject():\n    return 1 / 0", ["my.py:2: ZeroDivisionError"]),
    "in a member": ("my.py:subject", (), SUBJECT + "def describe(self): return 1 / 0", ["my.py:3: ZeroDivisionError"]),
    # members
    "role": ("my.py:subject", (), SUBJECT + "roles = {'layer5': 'x'}", ["'layer5'", "layer4-injected"]),
    "roles as a list": ("my.py:subject", (), SUBJECT + "roles = ['layer4']", ["roles"]),
    "role's text": ("my.py:subject", (), SUBJECT + "roles = {'layer4': None}", ["roles", "text"]),
    "random": ("my.py:subject", (), SUBJECT + "random = 'no'", ["random = 'no'", "True or False"]),
    "resumes": ("my.py:subject", (), SUBJECT + "resumes = 'never'", ["resumes = 'never'", "'approximately'"]),
    "reads as a text": ("my.py:subject", (), SUBJECT + "reads = ('model')", ["reads = 'model'", "tuple"]),
    "reads": ("my.py:subject", (), SUBJECT + "reads = ('data',)", ["reads = ('data',)", "diffusion"]),
    "version as a number": ("my.py:subject", (), SUBJECT + "version = 2", ["version = 2", "text"]),
    "version of two lines": ("my.py:subject", (), SUBJECT + "version = 'a\\nb'", ["version", "printable"]),
    "long version": ("my.py:subject", (), SUBJECT + "version = 201 * 'a'", ["(203 characters)", "at most 200"]),
    "libraries as a text": ("my.py:subject", (), SUBJECT + "libraries = 'numpy'", ["libraries = 'numpy'", "tuple"]),
    "library missing": ("my.py:subject", (), SUBJECT + "libraries = ('nunpy',)", ["'nunpy' is not installed"]),
    "describe": ("my.py:subject", (), SUBJECT + "def describe(self): return 3", ["describe() = 3"]),
    "budget of none": ("my.py:subject", (), SUBJECT + "def budget(self, budget): ...", ["budget() = None"]),
    "budget of a fraction": (
        "my.py:subject", (), SUBJECT + "def budget(self, budget):\n        from dataclasses import replace\n"
        "        return replace(budget, steps=budget.steps / 2)", ["budget()", "500.0"]
    ),
    "budget without a rate": (
        "my.py:subject", (), SUBJECT + "def budget(self, budget):\n        from dataclasses import replace\n"
        "        return replace(budget, learning_rate=0.0)", ["budget()", "learning_rate=0.0"]
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line(case, tmp_path):
    name, arguments, text, words = MISTAKES[case]
    write(tmp_path, {"my.py": text, "broken.py": "def f():\n    pass\n1 / 0\n", "garbled.py": "x = = 1"})
    write(tmp_path, {"pkg/__init__.py": "", "pkg/gan.py": "1 / 0", "pkg/lost.py": "import lost"})
    (tmp_path / "folder.py").mkdir()
    with pytest.raises(SubjectError) as caught:
        loaded(tmp_path, name, *arguments)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    assert "\x1b" not in message
    assert len(message) < 600
    assert message.count("my.py:2") <= 1, message
    assert "(my.py" not in message, "a second time"


def test_a_file_must_not_take_the_name_of_an_imported_module(tmp_path):
    write(tmp_path, {"random.py": PLANTED})
    assert "rename" in error_of(load, "random.py:subject", folder=tmp_path)
    assert sys.modules["random"] is random


def test_a_module_that_was_made_by_hand_has_no_source(monkeypatch):
    monkeypatch.setitem(sys.modules, "made_by_hand", ModuleType("made_by_hand"))
    assert "no module 'made_by_hand'" in error_of(load, "made_by_hand:subject")


def test_a_file_that_failed_can_be_mended_and_loaded(tmp_path):
    write(tmp_path, {"my.py": "1 / 0"})
    assert "ZeroDivisionError" in error_of(load, "my.py:subject", folder=tmp_path)
    assert "my" not in sys.modules
    write(tmp_path, {"my.py": PLANTED})
    assert load("my.py:subject", folder=tmp_path).subject == Planted()


def test_a_folder_of_many_or_large_files_is_refused(tmp_path, monkeypatch):
    write(tmp_path, {"my.py": PLANTED, "a.py": "", "pkg/__init__.py": "", "pkg/b.py": 50 * "#"})
    size = len(PLANTED) + 50
    for name, limit in (("MOST_FILES", 4), ("MOST_BYTES", size)):
        monkeypatch.setattr(sources, name, limit)
        assert error_of(loaded, tmp_path) == "", name
        monkeypatch.setattr(sources, name, limit - 1)
        assert "folder of its own" in error_of(loaded, tmp_path), name
        monkeypatch.undo()
        sys.path.append(str(tmp_path))


def test_an_error_is_blamed_on_the_innermost_line_of_the_users_files(tmp_path):
    write(tmp_path, {"my.py": PLANTED + "import helper\ndef f(): helper.g()\n", "helper.py": "\n\ndef g(): int('x')\n"})
    files = loaded(tmp_path).files
    my = sys.modules["my"]
    with pytest.raises(ValueError, match="invalid literal") as caught:
        my.f()
    assert blamed(caught.value, files).startswith("helper.py:3: ValueError: invalid literal")
    assert blamed(caught.value, {"my.py": files["my.py"]}).startswith("my.py:4: ValueError")
    assert blamed(caught.value, {}).startswith("ValueError: invalid")
    assert blamed(AssertionError(), files) == "AssertionError"
    assert len(blamed(ValueError(10_000 * "x"), files)) < 600


def test_a_run_is_trained_by_the_subject_that_it_was_planned_with(tmp_path):
    write(tmp_path, {"my.py": PLANTED + "def make(**more): return Planted()"})
    named = loaded(tmp_path, "my.py:make", "width=64")
    assert resolve(named.spec, named) is named.subject
    others = {
        "name": replace(named.spec, name="their.py:make"),
        "source": replace(named.spec, source=64 * "0"),
        "arguments": replace(named.spec, arguments=(("width", "32"),)),
        "versions": replace(named.spec, versions=(("torch", "2.0"),)),
    }
    for what, spec in others.items():
        message = error_of(resolve, spec, named)
        assert described(spec) in message, what
        assert described(named.spec) in message, what
        assert described(spec) != described(named.spec), what
        assert "\n" not in message, what
    alone = error_of(resolve, named.spec, None)
    assert "--subject my.py:make --subject-arg width=64" in alone


def test_no_stored_name_is_imported(tmp_path):
    marker = tmp_path / "imported"
    write(tmp_path, {"my.py": f"open({str(marker)!r}, 'w')\n" + PLANTED})
    sys.path.insert(0, str(tmp_path))
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        for name in ("my.py:subject", "my:subject", f"{tmp_path}/my.py:subject"):
            for factorized in (False, True):
                spec = SubjectSpec(name=name, source=64 * "0", factorized=factorized)
                with pytest.raises((SubjectError, ImportError)):
                    resolve(spec, None)
    finally:
        os.chdir(here)
    assert not marker.exists()
    assert "my" not in sys.modules


def test_subjects_of_bumplab_need_no_users_subject():
    diffusion = pytest.importorskip("bumplab.subjects.diffusion")
    rendered = pytest.importorskip("bumplab.subjects.rendered")
    factorized = pytest.importorskip("bumplab.subjects.factorized")
    named = load("bumplab.subjects.planted:Planted")
    for users in (None, named):
        assert isinstance(resolve(SubjectSpec(), users), diffusion.Unet)
        assert isinstance(resolve(SubjectSpec(factorized=True), users), factorized.Factorized)
        for name in RENDERED:
            assert isinstance(resolve(SubjectSpec(name=name), users), rendered.Rendered)
    assert isinstance(resolve(replace(named.spec, factorized=True), named), factorized.Factorized)


def test_files_that_change_after_the_import_are_noticed(tmp_path):
    """A neighbour that is imported within `start` would run under the key of its earlier text."""
    write(tmp_path, {"my.py": PLANTED, "late.py": "A = 1"})
    named = loaded(tmp_path)
    require_unchanged(named)
    (tmp_path / "late.py").write_text("A = 2")
    assert "files changed" in error_of(require_unchanged, named)


def test_a_neighbour_takes_the_place_of_no_library_that_is_imported_later(tmp_path):
    write(tmp_path, {"my.py": "import helper\n" + PLANTED, "helper.py": "", "wave.py": "1 / 0"})
    loaded(tmp_path)
    sys.modules.pop("wave", None)
    assert importlib.import_module("wave").Wave_read
    assert sys.path[-1] == str(tmp_path)


def test_another_default_dtype_of_torch_is_refused(tmp_path):
    """The suite's own labels and images would follow it."""
    write(tmp_path, {"my.py": "import torch\ntorch.set_default_dtype(torch.float64)\n" + PLANTED})
    try:
        assert "default dtype" in error_of(loaded, tmp_path)
    finally:
        torch.set_default_dtype(torch.float32)
