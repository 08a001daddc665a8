"""Facts that are used by their own names, as variables."""

from __future__ import annotations

from ansible import constants

# https://docs.ansible.com/ansible-core/devel/reference_appendices/config.html#inject-facts-as-vars
SETTING = "INJECT_FACTS_AS_VARS"


def refusal() -> str:
    """Return one line where Ansible is told to keep facts out of the variables, else nothing."""
    value, origin = constants.config.get_config_value_and_origin(SETTING)
    if value:
        return ""
    where = str(origin).removeprefix("env: ")
    return f"Facts are kept out of the variables by {where}; remove that, or set inject_facts_as_vars = true"
