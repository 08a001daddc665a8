"""E-mail addresses, in the one spelling that is stored and looked up."""

from typing import Annotated

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field

MAX_LENGTH = 320


def normalise(address: str) -> str:
    """``address`` in lower case, its domain as DNS has it. ``ValueError`` where no mail can be sent to it.

    ASCII only before the @: nobody gets an account whose address only looks like somebody else's, and the
    database's idea of lower case is Python's.
    """
    try:
        valid = validate_email(address, check_deliverability=False, allow_smtputf8=False)
    except EmailNotValidError:
        # Its message repeats what was given.
        raise ValueError("is not an e-mail address (before the @, only ASCII is accepted)") from None
    return str(valid.ascii_email).lower()


EmailAddress = Annotated[
    str, Field(max_length=MAX_LENGTH, json_schema_extra={"format": "email"}), AfterValidator(normalise)
]
