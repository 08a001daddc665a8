"""Where the app's mail goes."""

from email.utils import parseaddr
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, model_validator


class MailSettings(BaseModel):
    """A part of :class:`src.core.config.Settings`: the SMTP server; without SMTP_HOST, no mail is sent."""

    environment: Literal["development", "testing", "production"]
    smtp_host: str = ""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    # `tls`: from the first byte on, usually on port 465.
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    mail_from: str = ""

    @model_validator(mode="after")
    def _complete_mail_settings(self) -> "MailSettings":
        if not self.smtp_host:
            return self
        password = bool(self.smtp_password.get_secret_value())
        if "@" not in parseaddr(self.mail_from)[1] or not self.mail_from.isprintable():
            raise ValueError("MAIL_FROM: must be the sender's address if SMTP_HOST is set")
        if bool(self.smtp_user) is not password:
            raise ValueError("SMTP_USER: goes together with SMTP_PASSWORD; set both or neither")
        if self.smtp_security == "none" and (password or self.environment == "production"):
            raise ValueError("SMTP_SECURITY: may be `none` only outside production, and without a password")
        return self
