"""Talking by lines: a JSON command each on standard input, {"reply": …} or {"failure": …} for it on standard output, and
{"event": …} whenever something happens by itself."""

import json
import sys
import threading

printing = threading.Lock()


def say(**line):
    with printing:
        print(json.dumps(line), flush=True)


def serve(commands):
    """Does what each line says, one after the other, until the input ends. `commands`: name → function of the line."""
    for text in sys.stdin:
        answer(commands, json.loads(text))


def answer(commands, command):
    try:
        say(reply=commands[command["do"]](command))
    except Exception as error:  # the test decides what a failure means
        say(failure=repr(error), cause=repr(error.__cause__))
