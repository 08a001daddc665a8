"""E-mail addresses, in the one spelling that is stored and looked up."""

from typing import Annotated

from email_validator import SPECIAL_USE_DOMAIN_NAMES, EmailNotValidError, validate_email
from pydantic import AfterValidator, Field

MAX_LENGTH = 320
ENCODED_WORD = "=?"
REFUSAL = "is not an e-mail address (before the @, only ASCII is accepted, and no =?)"
# RFC 6761 and others: names that lead nowhere on the Internet, but may on a developer's machine or network.
# The validator's list is emptied, as its documentation suggests: it does not know which environment this is.
NOT_ON_THE_INTERNET = tuple(SPECIAL_USE_DOMAIN_NAMES)
SPECIAL_USE_DOMAIN_NAMES.clear()


def normalise(address: str) -> str:
    """Return ``address`` in lower case, its domain as DNS has it. Raise ``ValueError`` if it is not valid.

    ASCII only before the @: nobody gets an account whose address only looks like somebody else's, and the
    database's idea of lower case is Python's. No encoded word there either (RFC 2047, section 2: ``=?``),
    which a mail's header would be decoded from: into further recipients, or a line break.
    """
    try:
        valid = validate_email(
            address, check_deliverability=False, allow_smtputf8=False, globally_deliverable=False
        )
    except EmailNotValidError:
        # Its message repeats what was given.
        raise ValueError(REFUSAL) from None
    if ENCODED_WORD in valid.local_part:
        raise ValueError(REFUSAL)
    return str(valid.ascii_email).lower()


def is_on_the_internet(address: str) -> bool:
    """Whether mail can be sent to a normalised address from anywhere: not to `.test` or `localhost`."""
    try:
        validate_email(address, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError:
        return False
    return address.rpartition("@")[2].rpartition(".")[2] not in NOT_ON_THE_INTERNET


EmailAddress = Annotated[
    str, Field(max_length=MAX_LENGTH, json_schema_extra={"format": "email"}), AfterValidator(normalise)
]
