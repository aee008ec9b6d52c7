"""Where studies are recorded: journals that survive anything, databases, and errors that hold no password."""

import json
import subprocess
import sys

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from olive_engine.errors import SystemUnavailable
from olive_engine.search.names import masked, step_of, study_name
from olive_engine.search.storage import JOURNAL, lock_folder, mend, open_storage, shown_storage

MINIMIZE = [optuna.study.StudyDirection.MINIMIZE]


def recorded(folder):
    """A journal of a study with three trials; returns its path."""
    storage = open_storage(None, folder)
    study = storage.create_new_study(MINIMIZE, "s")
    for _ in range(3):
        storage.create_new_trial(study)
    return folder / JOURNAL


def test_a_journal_is_made_in_the_folder_and_plain_optuna_reads_it(tmp_path):
    path = recorded(tmp_path / "cache" / "studies")
    study = optuna.load_study(study_name="s", storage=JournalStorage(JournalFileBackend(str(path))))
    assert [trial.number for trial in study.trials] == [0, 1, 2]


def test_a_path_is_a_journal_of_that_name_and_its_locks_lie_beside_it(tmp_path):
    other = tmp_path / "else" / "mine.log"
    open_storage(str(other), tmp_path).create_new_study(MINIMIZE, "s")
    assert other.is_file()
    assert not (tmp_path / JOURNAL).exists()
    assert lock_folder(str(other), tmp_path) == other.parent
    assert lock_folder(None, tmp_path) == lock_folder("sqlite:///x.db", tmp_path) == tmp_path


def test_half_a_record_of_any_length_is_cut_off_by_who_writes_next(tmp_path):
    path = recorded(tmp_path)
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    before = len(whole) - len(lines[-1])
    for end in range(before, len(whole) + 1):
        path.write_bytes(whole[:end])
        storage = open_storage(None, tmp_path)
        study = storage.get_study_id_from_name("s")
        count = 3 if end == len(whole) else 2
        assert len(storage.get_all_trials(study)) == count
        storage.create_new_trial(study)
        again = open_storage(None, tmp_path)
        assert [each.number for each in again.get_all_trials(study)] == list(range(count + 1))
        assert path.read_bytes().startswith(b"".join(lines[:-1]) if end < len(whole) else whole)


def test_a_process_that_had_the_journal_open_goes_on_after_another_one_mended_it(tmp_path):
    path = recorded(tmp_path)
    early = open_storage(None, tmp_path)
    study = early.get_study_id_from_name("s")
    with path.open("ab") as stream:
        stream.write(b'{"op_code":4,"worker_id":"x","study_id":0,"datet')
    assert len(early.get_all_trials(study)) == 3
    open_storage(None, tmp_path).create_new_trial(study)
    assert early.create_new_trial(study) == 4
    assert [each.number for each in early.get_all_trials(study)] == [0, 1, 2, 3, 4]


def test_only_half_a_line_is_cut_off_however_long(tmp_path):
    path = tmp_path / "j.log"
    for whole, half in [
        (b"", b"abc"),
        (b"a\n", b""),
        (b"a\nb\n", b"c" * 200_000),
        (b"a" * 70_000 + b"\n", b"x" * 65_536),
    ]:
        path.write_bytes(whole + half)
        mend(path)
        assert path.read_bytes() == whole


def test_a_dead_owner_of_the_lock_keeps_nobody_waiting(tmp_path):
    path = recorded(tmp_path)
    assert subprocess.run([sys.executable, "-c", DIE_WITH_THE_LOCK, str(path)], check=False).returncode == -9
    storage = open_storage(None, tmp_path)  # Optuna's own lock would be waited for for 30 seconds
    storage.create_new_trial(storage.get_study_id_from_name("s"))
    assert [json.loads(line)["op_code"] for line in path.read_bytes().splitlines()] == [0, 4, 4, 4, 4]


DIE_WITH_THE_LOCK = """
import os, signal, sys
from pathlib import Path
from olive_engine.search.storage import JournalLock

path = Path(sys.argv[1])
JournalLock(path).acquire()
with path.open("ab") as stream:
    stream.write(b'{"op_code":4,"worker')
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_dashboard_that_writes_beside_us_does_not_disturb(tmp_path):
    path = recorded(tmp_path)
    theirs, ours = JournalStorage(JournalFileBackend(str(path))), open_storage(None, tmp_path)
    study = ours.get_study_id_from_name("s")
    for round_ in range(5):
        theirs.set_study_user_attr(study, "note", round_)
        ours.create_new_trial(study)
    assert theirs.get_study_user_attrs(study) == ours.get_study_user_attrs(study) == {"note": 4}
    assert len(theirs.get_all_trials(study)) == 8


def test_a_file_that_is_no_journal_is_left_alone(tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("half a line, and precious")
    with pytest.raises(
        SystemUnavailable, match=r"notes\.txt is no journal of Optuna's, so no study can be recorded in it$"
    ):
        open_storage(str(notes), tmp_path)
    assert notes.read_text() == "half a line, and precious"
    database = tmp_path / "study.db"
    open_storage(f"sqlite:///{database}", tmp_path)
    with pytest.raises(SystemUnavailable, match=r"for a SQLite database write sqlite:///.*study\.db$"):
        open_storage(str(database), tmp_path)


def test_a_damaged_journal_is_said_to_be_one(tmp_path):
    path = recorded(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"gibberish\n" + lines[1])
    with pytest.raises(SystemUnavailable, match="is damaged: a line of it is no record"):
        open_storage(None, tmp_path)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("postgresql+pg8000://me:s3cret@127.0.0.1:1/db", r"me:\*\*\*@127.0.0.1:1/db: its driver is not installed"),
        ("nosuch://me:s3cret@host/db", r"nosuch://me:\*\*\*@host/db: SQLAlchemy knows no such database"),
        ("postgresql://me:s3cret@host:port/db", r"postgresql://me:\*\*\*@host:port/db: "),
        ("sqlite:////no/such/folder/s3cret.db", "unable to open database file$"),
        ("://", "it is no database URL; write e.g. sqlite:"),
    ],
)
def test_a_database_that_cannot_be_had_is_a_sentence_without_a_password(spec, message, tmp_path):
    with pytest.raises(SystemUnavailable, match=message) as caught:
        open_storage(spec, tmp_path)
    assert ":s3cret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemUnavailable, match=r"the study cannot be recorded in .*studies\.log: "):
        open_storage(None, tmp_path / "file" / "studies")


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("postgresql://me:pw@host/db", "postgresql://me:***@host/db"),
        ("postgresql://me:p@w:x/y@host/db", "postgresql://me:***@host/db"),
        ("postgresql://host/db?user=me&password=pw&sslmode=on", "postgresql://host/db?user=me&password=***&sslmode=on"),
        ("postgresql://me@host/db", "postgresql://me@host/db"),
        ("sqlite:///a:b@c.db", "sqlite:///a:b@c.db"),
        ("some/a:b@c.log", "some/a:b@c.log"),
    ],
)
def test_masked(spec, shown, tmp_path):
    assert masked(spec) == shown
    assert shown_storage(spec, tmp_path) == shown


def test_names_and_steps():
    name = study_name({"model": "m", "seed": 1}, "my sweep: größe/1")
    assert name.startswith("my-sweep-größe-1-")
    assert len(name.rsplit("-", 1)[1]) == 16
    assert name == study_name({"seed": 1, "model": "m"}, "my sweep: größe/1")
    assert name != study_name({"seed": 2, "model": "m"}, "my sweep: größe/1")
    assert [step_of(each) for each in (1 / 8, 1 / 4, 0.07, 1 / 3, 0.001, 1.0)] == [13, 25, 7, 34, 1, 100]
