"""The Ansible role."""

from __future__ import annotations

import shutil

from .checks import PACKAGING, Missing, binary, check, run

ANSIBLE = PACKAGING / "ansible"
# What the role makes of an admin's settings, written where nothing is installed.
PLAY = """
- hosts: localhost
  connection: local
  gather_facts: false
  tasks:
    - name: Write the file
      ansible.builtin.template:
        src: {role}/templates/depollueur.toml.j2
        dest: {file}
        mode: "0600"
  vars:
    depollueur_settings:
      web: {{public_url: "https://drop.example.org/", operator: 'L''"Été" \\ Cie', contact: abuse@example.org, report_to: [abuse@example.org]}}
      detach: {{mode: live, threshold: 2 MB, directions: both}}
      milter: {{max_messages: 16}}
      drop: {{extend_expired: true}}
    depollueur_rules:
      - {{name: first, sender: [a@example.org, b@example.org], action: keep}}
      - {{name: second, size_min: 10 MB, retention: 3 days}}
"""


def needs(program: str):
    if not shutil.which(program):
        raise Missing(f"{program} is not installed")


@check("ansible: its linter finds nothing in the role, in its strictest profile, and the playbook is well formed")
def _(directory):
    needs("ansible-lint")
    # It looks for files of a repository: a copy is one of its own.
    copy = directory / "ansible"
    shutil.copytree(ANSIBLE, copy)
    run("git", "init", "--quiet", copy)
    lint = run("ansible-lint", "--offline", "--nocolor", "--profile", "production", "playbook.yml", "roles/depollueur", cwd=copy)
    syntax = run("ansible-playbook", "--syntax-check", "--inventory", "mail,", "playbook.yml", cwd=copy)
    return [done.stdout + done.stderr for done in (lint, syntax) if done.returncode]


@check("ansible: the configuration that it writes is one that we take, whatever is in the strings")
def _(directory):
    needs("ansible-playbook")
    file, play = directory / "depollueur.toml", directory / "play.yml"
    play.write_text(PLAY.format(role=ANSIBLE / "roles" / "depollueur", file=file))
    done = run("ansible-playbook", "--inventory", "localhost,", play)
    assert done.returncode == 0, done.stdout + done.stderr
    checked = run(binary(), "check", "--config", file)
    wrong = [] if checked.returncode == 0 else [checked.stderr]
    text = file.read_text()
    return wrong + ([] if text.index('"first"') < text.index('"second"') else ["rules are not in their order"])


@check("ansible: the test of the role is sound")
def _(directory):
    done = run("shellcheck", ANSIBLE / "test")
    return [done.stdout] if done.returncode else []
