"""The base of every body that the API takes or answers with."""

from pydantic import BaseModel, ConfigDict


class Schema(BaseModel):
    """Made from JSON, from keywords, or from the attributes of a row."""

    model_config = ConfigDict(from_attributes=True)


class RequestSchema(Schema):
    """The body of a request. Fields that are not documented are refused: they may be misspelt."""

    model_config = ConfigDict(extra="forbid")


class Message(Schema):
    """What happened, in a sentence. The answer of operations that have nothing else to say."""

    message: str
