"""The level at which a dialogue is recorded: for all, by selector, and for the sessions of a block."""

from __future__ import annotations

import os

import pytest

from sessionspan import capture, own, session, settings
from sessionspan.events import Command
from sessionspan.levels import DEFAULT, LEVELS, Subject, parse
from sessionspan.session import Session
from sessionspan.testing import Recorder

pytestmark = pytest.mark.usefixtures("recorded")


CISCO = Subject("ssh", "core1.lab.example", "cisco_ios")


@pytest.mark.parametrize(
    ("setting", "subject", "level"),
    [
        (DEFAULT, Subject("smtp"), "metadata"),
        (DEFAULT, CISCO, "commands"),
        (DEFAULT, Subject("telnet"), "commands"),
        (DEFAULT, Subject("serial"), "commands"),
        ("content", CISCO, "content"),
        ("metadata", CISCO, "metadata"),
        ("", CISCO, "commands"),
        ("imap=off", CISCO, "commands"),
        ("imap=off", Subject("imap"), "off"),
        ("metadata, SSH = Content".replace(" = ", "="), CISCO, "content"),
        ("off,host:*.lab.example=content", CISCO, "content"),
        ("off,host:*.prod.example=content", CISCO, "off"),
        ("off,device:cisco_*=commands", CISCO, "commands"),
        ("off,device:cisco_*=commands", Subject("ssh"), "off"),
        ("commands,host:10.9.0.0/16=off", Subject("ssh", "10.9.3.4"), "off"),
        ("commands,host:10.9.0.0/16=off", Subject("ssh", "10.8.3.4"), "commands"),
        ("commands,host:10.9.0.0/16=off", Subject("ssh", "10.9.name"), "commands"),
        ("commands,host:2001:db8::/32=off", Subject("ssh", "2001:db8::7"), "off"),
        ("commands,host:10.9.0.1=off", Subject("ssh", "::ffff:10.9.0.1"), "off"),
        # Of those that fit the last one counts; a level alone gives way to any of them.
        ("ssh=off,host:core1.lab.example=content,metadata", CISCO, "content"),
        ("host:core1.lab.example=content,ssh=off", CISCO, "off"),
    ],
)
def test_the_setting_gives_the_level_of_a_session(setting: str, subject: Subject, level: str) -> None:
    assert parse(setting).level(subject) == level


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("verbose", "levels off, metadata, commands, content, and 'verbose' is none"),
        ("metadata,ssh=some", "'some' is none"),
        ("metadata,shh=off", "'shh' is none"),
        ("metadata,host:=off", "'host:' is none"),
        ("metadata,=off", "'' is none"),
    ],
)
def test_what_is_no_level_or_no_selector_is_told(setting: str, said: str) -> None:
    _, (line,) = settings.load({"SESSIONSPAN_CAPTURE": setting})
    assert said in line
    assert "the default is used: metadata,devices=commands" in line


def test_a_setting_is_shown_as_it_was_understood() -> None:
    assert str(parse("imap=off")) == "metadata,devices=commands,imap=off"
    assert str(parse(DEFAULT)) == DEFAULT


def talk(**ends: object) -> None:
    with session("SSH", **ends) as s:  # type: ignore[arg-type]
        s.record(Command(command="SHOW", sequence=1, text="show version", reply_text="IOS"))


def test_a_host_is_the_server_of_a_client_and_the_client_of_a_server(recorder: Recorder) -> None:
    os.environ["SESSIONSPAN_CAPTURE"] = "metadata,host:10.0.0.1=commands"
    settings.reload()
    talk(side="client", server=("10.0.0.1", 22), local=("10.0.0.2", 1))
    talk(side="client", server=("10.0.0.2", 22), local=("10.0.0.1", 1))
    talk(peer=("10.0.0.1", 1), local=("10.0.0.2", 22))
    talk(peer=("10.0.0.2", 1), local=("10.0.0.1", 22))
    shown = ["sessionspan.command.text" in event.attributes for event in recorder.named("command")]
    assert shown == [True, False, True, False]


@pytest.mark.parametrize("level", LEVELS)
def test_a_session_that_opens_in_a_block_has_its_level(recorder: Recorder, level: str) -> None:
    with capture(level):
        talk()
    texts = {"sessionspan.command.text", "sessionspan.reply.text"}
    told = [sorted(texts & set(event.attributes)) for event in recorder.named("command")]
    shown = {
        "off": [],
        "metadata": [[]],
        "commands": [["sessionspan.command.text"]],
        "content": [["sessionspan.command.text", "sessionspan.reply.text"]],
    }
    assert told == shown[level]
    assert (recorder.wait_for_session().attributes or {})["sessionspan.command.count"] == 1


def test_a_session_keeps_the_level_with_which_it_opened(recorder: Recorder) -> None:
    with capture("off"):
        s = Session(own.SCOPE, "SSH")
        s.start()
    s.record(Command(command="SHOW", sequence=1))
    s.end()
    talk()
    assert len(recorder.named("command")) == 1
    assert recorder.transcript(recorder.sessions[0]) == ["session.start", "session.end"]


def test_a_block_with_no_level_is_an_error() -> None:
    with pytest.raises(ValueError, match="not 'loud'"), capture("loud"):
        pass
