"""Let a person type a word before something is lost; fail in one line unless it was typed.

    - name: Ask
      dashtam.stack.confirm:
        question: Type dev to remove its volumes; anything else keeps them
        word: dev
        given: "{{ clean_confirm | default(omit) }}"
        otherwise: Nothing was removed
        unattended: make clean LIMIT=dev ANSIBLE_ARGS="-e clean_confirm=dev"

`given` is the answer of whoever is not asked. `otherwise` says what the refusal means, and `unattended` what
to run where nobody can type. `ansible.builtin.pause` warns where there is no terminal, and goes on.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ansible.errors import AnsiblePromptInterrupt, AnsiblePromptNoninteractive
from ansible.utils.display import Display
from ansible_collections.dashtam.stack.plugins.module_utils.local_action import LocalAction, Problem


class ActionModule(LocalAction):
    """Fail unless the answer is the word."""

    arguments: ClassVar[Any] = {
        "question": {"type": "str", "required": True},
        "word": {"type": "str", "required": True},
        "given": {"type": "str"},
        "otherwise": {"type": "str", "required": True},
        "unattended": {"type": "str", "required": True},
    }

    def act(self, args: dict[str, Any]) -> dict[str, Any]:
        kept, word, given = args["otherwise"], args["word"], args["given"]
        if given is None:
            try:
                given = Display().prompt_until(f"{args['question']}:").decode(errors="replace").strip()
            except AnsiblePromptNoninteractive:
                advice = f"Without a terminal: {args['unattended']}"
                raise Problem(f"{kept}: '{word}' was not typed. {advice}") from None
            except AnsiblePromptInterrupt:
                raise Problem(f"{kept}: the question was interrupted.") from None
        if given != word:
            raise Problem(f"{kept}: '{word}' was not typed.")
        return {}
